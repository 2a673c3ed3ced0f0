"""From the model to protobuf."""

from __future__ import annotations

from bazaar.cart.v1 import cart_pb2
from bazaar.type.v1 import money_pb2
from services.cart.model import Cart, Facts
from services.cart.shown import ShownCart, ShownItem, shown
from services.kit.money import Money


def shown_cart(cart: Cart, facts: Facts) -> cart_pb2.Cart:
    """A cart with prices, stock and subtotal."""
    view = shown(cart, facts)
    message = _cart(cart)
    message.items.extend(map(_shown_item, view.items))
    _add_totals(message, view)
    return message


def bare_cart(cart: Cart) -> cart_pb2.Cart:
    """A cart without prices and stock."""
    message = _cart(cart)
    for item in cart.items:
        message.items.add(sku=item.sku, product_id=item.product_id, title=item.title, quantity=item.quantity)
    return message


def _cart(cart: Cart) -> cart_pb2.Cart:
    message = cart_pb2.Cart(cart_id=cart.cart_id, item_count=cart.item_count, is_active=cart.is_active)
    if cart.created_at and cart.updated_at:
        message.create_time.FromDatetime(cart.created_at)
        message.update_time.FromDatetime(cart.updated_at)
    return message


def _add_totals(message: cart_pb2.Cart, view: ShownCart) -> None:
    message.is_stale = view.is_stale
    message.degraded.extend(view.degraded)
    if view.subtotal:
        message.subtotal.CopyFrom(_money(view.subtotal))


def _shown_item(item: ShownItem) -> cart_pb2.CartItem:
    return cart_pb2.CartItem(
        sku=item.item.sku,
        product_id=item.item.product_id,
        title=item.title,
        quantity=item.item.quantity,
        price=_money(item.price) if item.price else None,
        amount=_money(item.amount) if item.amount else None,
        price_changed=item.price_changed,
        in_stock=item.in_stock,
    )


def _money(of: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=of.currency, minor_units=of.minor_units)
