"""Placing an order, step by step.

Checkout keeps nothing: each step is idempotent by the order's id, and the order's row says how far an earlier attempt came. Nothing that
can't be undone happens before the reservation holds. What an attempt leaves behind, the orders reaper finishes or undoes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from bazaar.cart.v1 import cart_service_pb2
from bazaar.checkout.v1 import checkout_service_pb2 as pb
from bazaar.inventory.v1 import inventory_pb2, inventory_service_pb2
from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2
from bazaar.users.v1 import users_service_pb2
from services.checkout.methods import TakenMethods
from services.checkout.model import (
    CartEmpty,
    OrderCancelled,
    PriceChanged,
    RequestInProgress,
    check_expected,
    check_purpose,
    method_class,
    total_by_sku,
)
from services.kit.idempotency import RequestKey
from services.kit.money import Money
from services.kit.rpc.calls import within
from services.kit.rpc.client_calls import together
from services.kit.rpc.status import reason_of
from services.kit.telemetry import tracing

if TYPE_CHECKING:
    from bazaar.cart.v1.cart_service_pb2_grpc import CartServiceAsyncStub
    from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub
    from bazaar.orders.v1.orders_service_pb2_grpc import OrdersServiceAsyncStub
    from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceAsyncStub
    from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceAsyncStub
    from bazaar.users.v1.users_service_pb2_grpc import UsersServiceAsyncStub

SUBMIT_BUDGET = timedelta(seconds=8)
"""How long a holder may take until its order is submitted; shorter than the claim that orders gives it."""

_STATE = orders_pb2.Order.State
_ENDED = (_STATE.CANCELLING, _STATE.CANCELLED)
_PAID = (payments_pb2.Payment.ACCEPTED, payments_pb2.Payment.CAPTURED)
_MOVED_ON = {"ORDER_STATE_ILLEGAL", "RESERVATION_ENDED", "PAYMENT_STATE_ILLEGAL"}
_OVERTAKEN = {"ORDER_VERSION_STALE", "RESERVATION_DIFFERS"}
"""Another attempt holds the order by now; or an earlier one reserved for it what was in the cart then, and it is given up for a new one."""

_LOOK_AGAIN_SECONDS = 0.05
_DELIVERY = tuple(field.name for field in orders_pb2.DeliveryAddress.DESCRIPTOR.fields)
_log = structlog.get_logger("bazaar.checkout")


@dataclass(frozen=True)
class Neighbours:
    """The services that a checkout goes through."""

    cart: CartServiceAsyncStub
    users: UsersServiceAsyncStub
    pricing: PricingServiceAsyncStub
    inventory: InventoryServiceAsyncStub
    orders: OrdersServiceAsyncStub
    payments: PaymentsServiceAsyncStub


@dataclass(frozen=True)
class Purchase:
    """What an attempt is about, gathered from its request and the neighbours."""

    cart_id: str
    lines: dict[str, int]
    """Units by SKU."""
    address: orders_pb2.DeliveryAddress
    quote: pricing_pb2.Quote
    """What will be charged."""


class PlaceOrderSaga:
    """One attempt to place one order."""

    def __init__(
        self, neighbours: Neighbours, methods: TakenMethods, request: pb.PlaceOrderRequest, user_id: str, key: RequestKey | None
    ) -> None:
        self._to = neighbours
        self._methods = methods
        self._request = request
        self._user_id = user_id
        self._key = key

    async def run(self, patience: float) -> pb.PlaceOrderResponse:
        """Places the order, or goes on with it where an earlier attempt stopped.

        Args:
            patience: seconds to wait for a rival that holds the same request's order.
        """
        order = await self._submitted(time.monotonic() + patience)
        tracing.current().set_attribute(tracing.ORDER_ID, order.order_id)
        if order.state == _STATE.PAYMENT_PENDING:
            return await self._pay_and_confirm(order)
        if order.state in _ENDED and not order.HasField("confirm_time"):
            raise OrderCancelled("The order was cancelled before it was confirmed.", order_id=order.order_id, why=order.cancel_reason)
        return pb.PlaceOrderResponse(order=order)

    async def _submitted(self, until: float) -> orders_pb2.Order:
        """The request's order, with its lines; submitted by this attempt where it is the holder."""
        while True:
            # Changes nothing and needs no order: it is gathered while one is opened.
            purchase = asyncio.ensure_future(self._gather())
            purchase.add_done_callback(_heard)
            try:
                opened = await self._open(until)
                if not opened.is_holder:
                    return opened.order
                return await self._submit_or_abandon(opened.order, purchase)
            except grpc.aio.AioRpcError as error:
                if reason_of(error) not in _OVERTAKEN or time.monotonic() > until:
                    raise
            finally:
                purchase.cancel()

    async def _open(self, until: float) -> orders_service_pb2.OpenOrderResponse:
        ask = orders_service_pb2.OpenOrderRequest(user_id=self._user_id, principal=f"user:{self._user_id}", method="PlaceOrder")
        if self._key:
            ask.principal, ask.method = self._key.principal, self._key.method
            ask.request_id, ask.fingerprint = self._key.key, self._key.fingerprint
        while True:
            opened = await self._to.orders.OpenOrder(ask)
            if opened.is_holder or opened.order.lines:
                return opened
            # Hidden, and another attempt is at work on it: that one submits it, or gives it up, or dies and loses its claim.
            if time.monotonic() + _LOOK_AGAIN_SECONDS > until:
                raise RequestInProgress("Another attempt of this request is at work.", request_id=ask.request_id)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _submit_or_abandon(self, order: orders_pb2.Order, purchase: asyncio.Future[Purchase]) -> orders_pb2.Order:
        try:
            return await within(SUBMIT_BUDGET.total_seconds(), self._submit(order, purchase))
        except Exception as error:
            await self._abandon(order, error)
            raise

    async def _submit(self, order: orders_pb2.Order, gathered: asyncio.Future[Purchase]) -> orders_pb2.Order:
        purchase = await gathered
        await self._to.inventory.Reserve(
            inventory_service_pb2.ReserveRequest(
                order_id=order.order_id,
                lines=[inventory_pb2.StockLine(sku=sku, quantity=quantity) for sku, quantity in purchase.lines.items()],
            )
        )
        submitted = await self._to.orders.SubmitOrder(
            orders_service_pb2.SubmitOrderRequest(
                order_id=order.order_id,
                version=order.version,
                quote=purchase.quote,
                address=purchase.address,
                payment_method=self._request.payment_method,
                cart_id=purchase.cart_id,
            )
        )
        return submitted.order

    async def _abandon(self, order: orders_pb2.Order, error: Exception) -> None:
        """Lets go of the order and its stock. Where that fails too, the reaper does it."""
        reason = getattr(error, "reason", None) or (reason_of(error) if isinstance(error, grpc.aio.AioRpcError) else None)
        ask = orders_service_pb2.AbandonOrderRequest(order_id=order.order_id, version=order.version, reason=reason or "FAILED")
        try:
            await self._to.orders.AbandonOrder(ask)
        except grpc.aio.AioRpcError as failure:
            _log.warning("an attempt was left to the reaper", order_id=order.order_id, reason=reason_of(failure))

    async def _gather(self) -> Purchase:
        """What is bought, where it goes, whether it can be paid like this, and what it costs."""
        request = self._request
        place_of = users_service_pb2.GetAddressRequest(user_id=self._user_id, address_id=request.address_id)
        asked = [*self._asked_of_cart(), self._to.users.GetAddress(place_of)]
        await self._methods.check(request.payment_method)
        *cart, address = await together(*asked)
        cart_id, chosen = (cart[0].cart_id, cart[0].lines) if cart else ("", request.lines)
        lines = total_by_sku((line.sku, line.quantity) for line in chosen)
        if not lines:
            raise CartEmpty("There is nothing to order.", cart_id=cart_id)
        place = orders_pb2.DeliveryAddress(**{name: getattr(address.address, name) for name in _DELIVERY})
        return Purchase(cart_id, lines, place, await self._quote(lines, place))

    def _asked_of_cart(self) -> list[Any]:
        """The call that asks the cart what is bought, unless the request says it itself."""
        if self._request.lines:
            return []
        ask = cart_service_pb2.GetCheckoutLinesRequest(user_id=self._user_id, cart_id=self._request.cart_id)
        return [self._to.cart.GetCheckoutLines(ask)]

    async def _quote(self, lines: dict[str, int], place: orders_pb2.DeliveryAddress) -> pricing_pb2.Quote:
        """The quote that will be charged: the one that came along, or a new one."""
        request = self._request
        if request.HasField("signed_quote"):
            answer = await self._to.pricing.VerifyQuote(pricing_service_pb2.VerifyQuoteRequest(signed_quote=request.signed_quote))
            check_purpose(_purpose_of(answer.quote), self._purpose(lines, place))
            return self._expected(answer.quote, pricing_service_pb2.CreateQuoteResponse(quote=answer.quote))
        created = await self._to.pricing.CreateQuote(
            pricing_service_pb2.CreateQuoteRequest(
                lines=[pricing_service_pb2.CreateQuoteRequest.Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()],
                country=place.country,
                state=place.state,
                coupon_code=request.coupon_code,
                method_class=self._method_class(),
            )
        )
        return self._expected(created.quote, created)

    def _expected(self, quote: pricing_pb2.Quote, offer: pricing_service_pb2.CreateQuoteResponse) -> pricing_pb2.Quote:
        wanted = self._request.expected_total
        expected = Money(wanted.currency_code, wanted.minor_units) if self._request.HasField("expected_total") else None
        try:
            check_expected(Money(quote.total.currency_code, quote.total.minor_units), expected)
        except PriceChanged as error:
            error.details = [offer]
            raise
        return quote

    def _purpose(self, lines: dict[str, int], place: orders_pb2.DeliveryAddress) -> dict[str, str]:
        return {
            "country": place.country,
            "state": place.state,
            "coupon": self._request.coupon_code,
            "method class": self._method_class(),
            "lines": _listed(lines),
        }

    def _method_class(self) -> str:
        return method_class(payments_pb2.Payment.Method.Name(self._request.payment_method))

    async def _pay_and_confirm(self, order: orders_pb2.Order) -> pb.PlaceOrderResponse:
        """The steps after the order is visible; rivals may do them at once, for all are idempotent by the order's id."""
        try:
            answer = await self._to.payments.CreatePayment(
                payments_service_pb2.CreatePaymentRequest(order_id=order.order_id, method=order.payment_method, amount=order.total)
            )
            payment = answer.payment
            if payment.state in _PAID:
                confirm = orders_service_pb2.ConfirmOrderRequest(order_id=order.order_id, payment_state=payment.state)
                return pb.PlaceOrderResponse(order=(await self._to.orders.ConfirmOrder(confirm)).order)
            # The customer, or the gateway, has the next word; orders hears of it.
            waiting = await self._to.orders.AwaitPayment(orders_service_pb2.AwaitPaymentRequest(order_id=order.order_id))
            return pb.PlaceOrderResponse(order=waiting.order, payment_link=payment.payment_link)
        except grpc.aio.AioRpcError as error:
            if (reason := reason_of(error)) in _MOVED_ON:
                raise OrderCancelled("The order was cancelled before it was confirmed.", order_id=order.order_id, why=reason) from error
            raise


def _heard(purchase: asyncio.Future[Purchase]) -> None:
    """Nobody asks for what wasn't needed: its failure is no news."""
    if not purchase.cancelled():
        purchase.exception()


def _purpose_of(quote: pricing_pb2.Quote) -> dict[str, str]:
    return {
        "country": quote.country,
        "state": quote.state,
        "coupon": quote.coupon_code,
        "method class": quote.method_class,
        "lines": _listed({line.sku: line.quantity for line in quote.lines}),
    }


def _listed(lines: dict[str, int]) -> str:
    return ",".join(f"{sku}={lines[sku]}" for sku in sorted(lines))
