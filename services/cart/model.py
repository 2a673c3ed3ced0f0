"""The rules of a cart: what fits in, what it remembers, what an order takes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.money import Money
from services.kit.values import value

MOST_SKUS = 100
MOST_UNITS = 100_000
LEFT_ALONE = timedelta(hours=24)
"""So long after its last change a cart counts as abandoned."""

_SKUS_TOLD = 20
_QUARTER = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CartNotFound(NotFound):
    """There is no such cart, or it is somebody else's."""

    reason = "CART_NOT_FOUND"

    def __init__(self, cart_id: str) -> None:
        super().__init__("There is no such cart.", cart_id=cart_id)


class ItemNotInCart(NotFound):
    """The SKU isn't in the cart."""

    reason = "ITEM_NOT_IN_CART"

    def __init__(self, sku: str) -> None:
        super().__init__("The cart holds nothing of this SKU.", sku=sku)


class CartFull(FailedPrecondition):
    """The cart would hold more than a cart may."""

    reason = "CART_FULL"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A cart holds at most {MOST_SKUS} different SKUs and {MOST_UNITS} units of each.", limit=str(limit))


class OutOfStock(FailedPrecondition):
    """The cart would hold more units than there are."""

    reason = "OUT_OF_STOCK"

    def __init__(self, sku: str, *, wanted: int, available: int) -> None:
        super().__init__("There are fewer units than wanted.", sku=sku, wanted=str(wanted), available=str(available))


class SkuNotFound(NotFound):
    """There is no such SKU, or its product isn't on sale."""

    reason = "SKU_NOT_FOUND"

    def __init__(self, sku: str) -> None:
        super().__init__("There is no such SKU on sale.", sku=sku)


class ProductNotFound(NotFound):
    """There is no such product, or it isn't on sale."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, product_id: str) -> None:
        super().__init__("There is no such product on sale.", product_id=product_id)


class SkuAmbiguous(InvalidArgument):
    """A product of several SKUs: the caller has to say which."""

    reason = "SKU_AMBIGUOUS"

    def __init__(self, product_id: str, skus: Sequence[str]) -> None:
        super().__init__("The product has several SKUs; say which.", product_id=product_id, skus=",".join(skus[:_SKUS_TOLD]))


class PriceNotFound(FailedPrecondition):
    """The SKU has no price in the cart's currency, and so can't be bought with the rest."""

    reason = "PRICE_NOT_FOUND"

    def __init__(self, sku: str, currency: str) -> None:
        super().__init__("The SKU has no price in the cart's currency.", sku=sku, currency=currency)


@value
class Item:
    """One SKU in a cart."""

    sku: str
    product_id: str
    title: str
    """As it was when the item was added."""
    quantity: int
    price_seen: int | None
    """When it was added, in minor units of the cart's currency; None when nobody could say."""


@value
class Cart:
    """A cart as it is kept."""

    cart_id: str
    """Empty for the active cart of a user who hasn't put anything into one."""
    is_active: bool
    currency: str = ""
    """Empty until an item had a price."""
    items: tuple[Item, ...] = ()
    """In the order they were added."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0
    """Changes so far; 0 when not stored."""

    @property
    def item_count(self) -> int:
        """Units over all items."""
        return sum(item.quantity for item in self.items)

    @property
    def skus(self) -> list[str]:
        return [item.sku for item in self.items]

    def quantity_of(self, sku: str) -> int:
        return next((item.quantity for item in self.items if item.sku == sku), 0)


@value
class Ordered:
    """What is, or was, ordered from a cart."""

    cart_id: str
    quantities: dict[str, int]
    """Units by SKU."""


@value
class Abandoned:
    """A cart that was left with something in it."""

    cart_id: str
    user_id: str
    item_count: int
    version: int


@value
class Product:
    """What the catalogue says of a product."""

    product_id: str
    title: str
    is_on_sale: bool
    skus: tuple[str, ...]


@value
class Facts:
    """What the neighbours said, by SKU; None where one couldn't be asked."""

    skus: frozenset[str]
    """What they were asked about."""
    products: Mapping[str, Product] | None
    prices: Mapping[str, Money] | None
    available: Mapping[str, int] | None
    """Units that could be bought."""


def only_sku(product_id: str, products: Iterable[Product]) -> str:
    """The SKU of a product that has just one.

    Raises:
        ProductNotFound: it isn't there, or not on sale.
        SkuAmbiguous: it has several.
    """
    product = next((product for product in products if product.product_id == product_id and product.is_on_sale), None)
    match product.skus if product else ():
        case ():
            raise ProductNotFound(product_id)
        case (sku,):
            return sku
        case skus:
            raise SkuAmbiguous(product_id, skus)


def added(cart: Cart, sku: str, quantity: int, facts: Facts) -> Cart:
    """The cart with so many more units of a SKU. Its latest price becomes the one that was seen.

    Args:
        facts: the catalogue must have answered; stock and price count as far as anybody could say.

    Raises:
        SkuNotFound: the catalogue doesn't know it, or it isn't on sale.
        CartFull: too many units, or one SKU too many.
        OutOfStock: inventory has fewer than the cart would hold.
        PriceNotFound: pricing has no price for it in the cart's currency.
    """
    product = (facts.products or {}).get(sku)
    if product is None or not product.is_on_sale:
        raise SkuNotFound(sku)
    before = next((item for item in cart.items if item.sku == sku), None)
    wanted = quantity + (before.quantity if before else 0)
    if wanted > MOST_UNITS:
        raise CartFull(MOST_UNITS)
    if before is None and len(cart.items) >= MOST_SKUS:
        raise CartFull(MOST_SKUS)
    _check_stock(sku, wanted, facts)
    price_seen, currency = _price_to_remember(cart, sku, before, facts)
    item = Item(sku, product.product_id, product.title, wanted, price_seen)
    items = tuple(item if other.sku == sku else other for other in cart.items) if before else (*cart.items, item)
    return replace(cart, items=items, currency=currency)


def with_quantity(cart: Cart, sku: str, quantity: int, facts: Facts) -> Cart:
    """The cart with another quantity of an item: fewer always, more only if there are as many, as far as anybody could say.

    Raises:
        ItemNotInCart: it isn't in the cart.
        OutOfStock: inventory has fewer.
    """
    before = cart.quantity_of(sku)
    if not before:
        raise ItemNotInCart(sku)
    if quantity > before:
        _check_stock(sku, quantity, facts)
    return replace(cart, items=tuple(replace(item, quantity=quantity) if item.sku == sku else item for item in cart.items))


def without(cart: Cart, sku: str) -> Cart:
    """The cart without an item; the same cart when it isn't in it. An empty cart has no currency any more."""
    return taken_out(cart, {sku: MOST_UNITS})


def taken_out(cart: Cart, ordered: Mapping[str, int]) -> Cart:
    """The cart after an order of so many units of each SKU: what was bought is gone, what was added since then stays."""
    left = (replace(item, quantity=item.quantity - ordered.get(item.sku, 0)) for item in cart.items)
    items = tuple(item for item in left if item.quantity > 0)
    return replace(cart, items=items, currency=cart.currency if items else "")


def left_at(cart: Cart, now: datetime) -> datetime | None:
    """When a cart that is touched no more counts as abandoned; None for an empty one.

    At a full quarter of an hour: an indexed time that moved with every item would cost each write its index entries.
    """
    if not cart.items:
        return None
    since = now + LEFT_ALONE - _EPOCH
    return _EPOCH + -(-since // _QUARTER) * _QUARTER


def _check_stock(sku: str, wanted: int, facts: Facts) -> None:
    if facts.available is None:
        return
    available = facts.available.get(sku, 0)
    if available < wanted:
        raise OutOfStock(sku, wanted=wanted, available=available)


def _price_to_remember(cart: Cart, sku: str, before: Item | None, facts: Facts) -> tuple[int | None, str]:
    """The price seen now, and the cart's currency with it: that of the first item that has a price."""
    if facts.prices is None:
        return before.price_seen if before else None, cart.currency
    price = facts.prices.get(sku)
    if price is None or price.currency != (cart.currency or price.currency):
        raise PriceNotFound(sku, cart.currency)
    return price.minor_units, price.currency
