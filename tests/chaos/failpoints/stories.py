"""What customers do while a process fails. Whoever is cut off may do the same again, with the same keys, and get what they wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from grpc.aio import AioRpcError

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.checkout.v1 import checkout_service_pb2
from bazaar.orders.v1 import orders_service_pb2
from bazaar.payments.v1 import payments_pb2, payments_service_pb2, payments_service_pb2_grpc
from bazaar.pricing.v1 import pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1.money_pb2 import Money
from services.kit.ids import order_id_for, uuid7
from services.kit.rpc.status import reason_of
from tests.chaos.steps import bus_away, expire_claims, let_time_pass, payment_of, states
from tests.shop import ADMIN, Customer, Shop, eventually

_SECONDS = 20.0
_EXPIRE_HOLDS = """
WITH expired AS (
    UPDATE reservations SET expires_at = now() - interval '1 second' WHERE order_id IN (SELECT order_id FROM holds WHERE sku = %s)
)
UPDATE holds SET expires_at = now() - interval '1 second' WHERE sku = %s
"""


@dataclass(frozen=True)
class Errand:
    """Somebody who wants something."""

    customer: Customer
    sku: str
    cart_id: str
    key: str = "one"


async def prepared(shop: Shop, sku: str, *, units: int) -> Errand:
    """A customer with so many units of a SKU in their cart."""
    customer = await shop.customer()
    return Errand(customer, sku, await shop.cart_of(customer, (sku, units)))


async def pays_cash(shop: Shop, errand: Errand) -> None:
    await shop.order(errand.customer, cart_id=errand.cart_id, key=errand.key)
    await _ends(shop, errand, "CONFIRMED")


async def pays_by_upi(shop: Shop, errand: Errand) -> None:
    await _pay(shop, errand, payments_pb2.Payment.UPI)


async def pays_by_card(shop: Shop, errand: Errand) -> None:
    await _pay(shop, errand, payments_pb2.Payment.CARD)


async def is_declined(shop: Shop, errand: Errand) -> None:
    if link := await _link(shop, errand):
        await asyncio.to_thread(shop.sandbox.decline, link)
    await _ends(shop, errand, "CANCELLED")


async def wants_the_money_back(shop: Shop, errand: Errand) -> None:
    if "CANCELL" not in (await _state(shop, errand)):
        await pays_by_upi(shop, errand)
    await shop.cancel(errand.customer, await _order_id(shop, errand))
    await _ends(shop, errand, "CANCELLED")


async def thinks_better_of_it(shop: Shop, errand: Errand) -> None:
    await _link(shop, errand)
    await shop.cancel(errand.customer, await _order_id(shop, errand))
    await _ends(shop, errand, "CANCELLED")


async def forgets_to_pay(shop: Shop, errand: Errand) -> None:
    if await _link(shop, errand):
        await _look_for_link(shop, errand)
    await shop.execute("inventory", _EXPIRE_HOLDS, errand.sku, errand.sku)
    await eventually(lambda: _held(shop, errand), 0, _SECONDS)
    late = "UPDATE orders SET created_at = created_at - interval '1 hour', due_at = now() - interval '1 second' WHERE user_id = %s"
    await shop.execute("orders", late + " AND state = 'PAYMENT_PENDING'", errand.customer.principal.id)
    await _ends(shop, errand, "CANCELLED")


async def comes_too_late(shop: Shop, errand: Errand) -> None:
    try:
        await shop.order(errand.customer, (errand.sku, 2), key=errand.key)
    except AioRpcError as error:
        if reason_of(error) != "OUT_OF_STOCK":
            raise
    else:
        raise AssertionError("there is nothing to be had")


async def is_impatient(shop: Shop, errand: Errand) -> None:
    """Presses the button again and again, with what was offered to them."""
    ask = [shop.order(errand.customer, cart_id=errand.cart_id, key=errand.key) for _ in range(3)]
    await asyncio.gather(*ask)
    await shop.order(errand.customer, cart_id=errand.cart_id, key=errand.key)
    await _ends(shop, errand, "CONFIRMED")


async def has_an_offer(shop: Shop, errand: Errand) -> None:
    """Orders at the price that was promised."""
    pricing = shop.stub(pricing_service_pb2_grpc.PricingServiceStub, errand.customer.principal)
    line = pricing_service_pb2.CreateQuoteRequest.Line(sku=errand.sku, quantity=2)
    ask = pricing_service_pb2.CreateQuoteRequest(lines=[line], country="ZZ", state="KA", method_class="ON_DELIVERY")
    offer = (await pricing.CreateQuote(ask)).signed_quote
    # Another offer is another request: it has another key.
    await shop.order(errand.customer, (errand.sku, 2), key=uuid7(), signed_quote=offer)
    await _ends(shop, errand, "CONFIRMED")


async def waits_for_more(shop: Shop, errand: Errand) -> None:
    """Comes too late, and again when there is enough."""
    with suppress(AioRpcError):
        await shop.order(errand.customer, (errand.sku, 2), key=errand.key)
    await shop.receive(errand.sku, 2)
    await shop.order(errand.customer, (errand.sku, 2), key=errand.key)
    await _ends(shop, errand, "CONFIRMED")


async def was_cut_off(shop: Shop, errand: Errand) -> None:
    """Has ordered through a process that died in the middle of it, and asks again."""
    user_id = errand.customer.principal.id
    ask = orders_service_pb2.OpenOrderRequest(
        user_id=user_id, principal=f"user:{user_id}", method="PlaceOrder", request_id=errand.key, fingerprint=b"of this request"
    )
    for _ in range(2):
        await shop.orders(errand.customer.principal, caller="checkout").OpenOrder(ask)
        await expire_claims(shop, errand.customer)
    await let_time_pass(shop, errand.customer)
    await _ends(shop, errand, "CANCELLED")


async def pays_for_nothing(shop: Shop, errand: Errand) -> None:
    """Pays for an order that never was."""
    payments = shop.stub(payments_service_pb2_grpc.PaymentsServiceStub, errand.customer.principal, caller="checkout")
    amount, order_id = Money(currency_code="USD", minor_units=1), order_id_for(errand.customer.principal.id)
    ask = payments_service_pb2.CreatePaymentRequest(order_id=order_id, method=payments_pb2.Payment.UPI, amount=amount)
    opened = await payments.CreatePayment(ask)
    if link := opened.payment.payment_link:
        await asyncio.to_thread(shop.sandbox.pay, link)
        await eventually(lambda: payment_of(shop, ask.order_id), "REFUNDED", _SECONDS)


async def pays_for_what_is_gone(shop: Shop, errand: Errand) -> None:
    """Cancels, and the news of their payment comes after that."""
    if link := await _link(shop, errand):
        order_id = await _order_id(shop, errand)
        async with bus_away(shop):
            await asyncio.to_thread(shop.sandbox.pay, link)
            await eventually(lambda: payment_of(shop, order_id), "CAPTURED", _SECONDS)
            await shop.cancel(errand.customer, order_id)
    else:
        await shop.cancel(errand.customer, await _order_id(shop, errand))
    await _ends(shop, errand, "CANCELLED")


async def _is_answered(call: Awaitable[object]) -> bool:
    """Whether nothing was away just then. A change that has happened all the same is none the second time."""
    try:
        await call
    except AioRpcError as error:
        if error.code() is not StatusCode.UNAVAILABLE:
            raise
        return False
    return True


async def sees_another_title(shop: Shop, errand: Errand) -> None:
    """Buys nothing. Somebody of the staff gives the product another title, and who listens is told of that once."""
    change = catalog_pb2.Product(product_id=errand.sku, title=f"Another {errand.sku}")
    ask = catalog_service_pb2.UpdateProductRequest(product=change, update_mask=FieldMask(paths=["title"]))
    catalog = shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)
    async with asyncio.timeout(_SECONDS):
        while not await _is_answered(catalog.UpdateProduct(ask)):
            await asyncio.sleep(0.1)
    await eventually(lambda: _titles_told(shop, errand), 1, _SECONDS)


async def _titles_told(shop: Shop, errand: Errand) -> int:
    """Relays may publish an event twice, under its one id."""
    look = "SELECT count(DISTINCT event_id) FROM log WHERE key = %s AND aggregate_version = 2 AND type LIKE %s"
    ((count,),) = await shop.execute("events", look, errand.sku, "%ProductChanged")
    return count


async def _pay(shop: Shop, errand: Errand, method: payments_pb2.Payment.Method) -> None:
    if link := await _link(shop, errand, method):
        await asyncio.to_thread(shop.sandbox.pay, link)
    await _ends(shop, errand, "CONFIRMED")


async def _link(shop: Shop, errand: Errand, method: payments_pb2.Payment.Method = payments_pb2.Payment.UPI) -> str:
    """Where to pay; nowhere, when that is over already."""
    try:
        placed = await shop.place(errand.customer, cart_id=errand.cart_id, key=errand.key, payment_method=method)
    except AioRpcError as error:
        if reason_of(error) != "ORDER_CANCELLED":
            raise
        return ""
    return placed.payment_link


async def _look_for_link(shop: Shop, errand: Errand) -> None:
    """Whoever comes again may come when their time is over."""
    ask = checkout_service_pb2.GetPaymentLinkRequest(order_id=await _order_id(shop, errand))
    try:
        await shop.checkout(errand.customer.principal).GetPaymentLink(ask)
    except AioRpcError as error:
        if reason_of(error) != "NOTHING_TO_PAY":
            raise


async def _held(shop: Shop, errand: Errand) -> int:
    ((held,),) = await shop.execute("inventory", "SELECT count(*) FROM holds WHERE sku = %s", errand.sku)
    return held


async def _order_id(shop: Shop, errand: Errand) -> str:
    """Of the customer's latest order: one that failed before it was submitted is followed by another."""
    found = await shop.execute(
        "orders", "SELECT order_id::text FROM orders WHERE user_id = %s ORDER BY order_id DESC", errand.customer.principal.id
    )
    return found[0][0]


async def _state(shop: Shop, errand: Errand) -> str:
    return (await states(shop, errand.customer) or [""])[-1]


async def _ends(shop: Shop, errand: Errand, state: str) -> None:
    await eventually(lambda: _state(shop, errand), state, _SECONDS)


STORIES: Mapping[str, Callable[[Shop, Errand], Awaitable[None]]] = {
    story.__name__: story
    for story in (
        *(pays_cash, pays_by_upi, pays_by_card, is_declined, wants_the_money_back, thinks_better_of_it, forgets_to_pay),
        *(comes_too_late, waits_for_more, is_impatient, has_an_offer, was_cut_off, pays_for_nothing, pays_for_what_is_gone),
        sees_another_title,
    )
}
UNITS = {comes_too_late.__name__: 1, waits_for_more.__name__: 1}
"""Of a SKU, where it isn't enough for all."""
