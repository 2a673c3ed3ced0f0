"""The rules of showing a cart: what its items cost now, and whether they can still be bought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.cart.model import Cart, Facts, Item
from services.kit.money import Money
from services.kit.values import value

_LARGEST_AMOUNT = 2**63 - 1


@value
class ShownItem:
    """An item with what is known of it now."""

    item: Item
    title: str
    price: Money | None
    price_changed: bool
    in_stock: bool

    @property
    def amount(self) -> Money | None:
        """price × quantity; None when there is no price, or the amount is beyond 64 bits."""
        return _within_range(self.price * self.item.quantity) if self.price else None


@value
class ShownCart:
    """A cart with what is known of its items now."""

    cart: Cart
    items: tuple[ShownItem, ...]
    subtotal: Money | None
    is_stale: bool
    degraded: tuple[str, ...]
    """The services that couldn't be asked."""


def shown(cart: Cart, facts: Facts) -> ShownCart:
    """A cart with the latest titles, prices and stock, as far as anybody could be asked."""
    currency = cart.currency or _first_currency(cart.items, facts.prices)
    items = tuple(_shown_item(item, currency, facts) for item in cart.items)
    amounts = [item.price * item.item.quantity for item in items if item.price]
    subtotal = _within_range(sum(amounts[1:], amounts[0])) if amounts else None
    told = {"catalog": facts.products, "pricing": facts.prices, "inventory": facts.available}
    degraded = tuple(service for service, facts_of_it in told.items() if facts_of_it is None and items)
    has_unasked = not facts.skus.issuperset(cart.skus)
    return ShownCart(cart, items, subtotal, is_stale=bool(degraded) or has_unasked, degraded=degraded)


def _shown_item(item: Item, currency: str, facts: Facts) -> ShownItem:
    seen = None if item.price_seen is None or not currency else Money(currency, item.price_seen)
    if item.sku not in facts.skus:  # a rival has added it since the neighbours were asked
        return ShownItem(item, item.title, seen, price_changed=False, in_stock=True)
    product = facts.products.get(item.sku) if facts.products is not None else None
    is_on_sale = facts.products is None or (product is not None and product.is_on_sale)
    has_stock = facts.available is None or facts.available.get(item.sku, 0) >= item.quantity
    price = seen if facts.prices is None else facts.prices.get(item.sku)
    if price and price.currency != currency:
        price = None
    return ShownItem(
        item=item,
        title=product.title if product else item.title,
        price=price,
        price_changed=price is not None and seen is not None and price != seen,
        in_stock=is_on_sale and has_stock,
    )


def _first_currency(items: Iterable[Item], prices: Mapping[str, Money] | None) -> str:
    return next((prices[item.sku].currency for item in items if prices and item.sku in prices), "")


def _within_range(amount: Money) -> Money | None:
    return amount if amount.minor_units <= _LARGEST_AMOUNT else None
