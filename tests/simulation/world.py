"""A shop of the services' own servicers, sagas and rules, on stores, a bus and a gateway in memory."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import grpc
from google.api import httpbody_pb2

from bazaar.checkout.v1 import checkout_service_pb2
from bazaar.orders.v1 import orders_service_pb2
from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2
from bazaar.type.v1.money_pb2 import Money
from bazaar.users.v1 import users_pb2, users_service_pb2
from services.checkout.methods import TakenMethods
from services.checkout.saga import Neighbours, PlaceOrderSaga
from services.inventory.model import Balance
from services.inventory.service import InventoryServicer
from services.kit.auth import Principal
from services.kit.errors import DomainError
from services.kit.idempotency import RequestKey
from services.kit.rpc import calls
from services.kit.rpc.status import CODES, metadata_of, to_status
from services.orders.payments import settle_what_is_paid
from services.orders.service import OrdersServicer
from services.orders.settlement import Settlement
from services.orders.watch import Watchers
from services.payments.clearing import Clearing
from services.payments.service import PaymentsServicer
from tests.simulation.bank import Bank
from tests.simulation.clockwork import Clockwork
from tests.simulation.stores import Bus, Orders, Payments, Stock

USER = "0198c0de-0000-7000-8000-000000000001"
PRINCIPAL = Principal("user", USER, frozenset({"customer"}), "")
SKUS, WAREHOUSES = ("cup", "pen"), ("east", "west")
UNITS = 3
"""Of each SKU in each warehouse, to begin with."""
PRICE = 1000
_COUNTRY = "IN"


class Stub:
    """A servicer as its neighbours call it: with an effect on the way there and on the way back, and errors as gRPC brings them."""

    def __init__(self, clockwork: Clockwork, servicer: Any) -> None:
        self._clockwork = clockwork
        self._servicer = servicer

    def __getattr__(self, method: str) -> Any:
        return partial(self._call, getattr(self._servicer, method))

    async def _call(self, answer: Any, request: Any) -> Any:
        await self._clockwork.effect()
        before = calls.find()
        calls.enter(calls.Call("", "", PRINCIPAL))
        try:
            response = await answer(request, _CONTEXT)
        except DomainError as error:
            status = to_status(error)
            code, nothing = CODES[status.code], grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(code, nothing, grpc.aio.Metadata(*metadata_of(status)), status.message) from None
        finally:
            if before:
                calls.enter(before)
        await self._clockwork.effect()
        return response


_CONTEXT = SimpleNamespace(invocation_metadata=lambda: ())


class Counter:
    """The neighbours of a checkout that only answer: addresses and quotes."""

    async def GetAddress(self, request: users_service_pb2.GetAddressRequest) -> users_service_pb2.GetAddressResponse:
        return users_service_pb2.GetAddressResponse(address=users_pb2.Address(address_id=request.address_id, country=_COUNTRY))

    async def CreateQuote(self, request: pricing_service_pb2.CreateQuoteRequest) -> pricing_service_pb2.CreateQuoteResponse:
        lines = [
            pricing_pb2.QuoteLine(sku=line.sku, product_id=line.sku, category_id="all", quantity=line.quantity, unit_price=_money(1))
            for line in request.lines
        ]
        total = _money(sum(line.quantity for line in lines))
        return pricing_service_pb2.CreateQuoteResponse(quote=pricing_pb2.Quote(lines=lines, subtotal=total, total=total))


class World:
    """One shop, its customers' bank, and its clock."""

    def __init__(self) -> None:
        self.clockwork = clockwork = Clockwork()
        self.bus = bus = Bus()
        self.orders, self.payments, self.bank = Orders(clockwork, bus), Payments(clockwork, bus), Bank(clockwork)
        self.stock = Stock(clockwork, [Balance(sku, place, UNITS, 0) for sku in SKUS for place in WAREHOUSES])
        self.received = {balance.key: balance.on_hand for balance in self.stock.balances.values()}
        stores: Any = self.orders, self.payments, self.stock
        orders, payments, stock = stores
        self.clearing = Clearing(payments, {self.bank.name: self.bank})
        self.to_payments = Stub(clockwork, PaymentsServicer(payments, [self.bank], self.clearing))
        to_inventory: Any = Stub(clockwork, InventoryServicer(None, stock, None, None, None))  # type: ignore[arg-type]
        self.settlement = Settlement(orders, to_inventory, cast("Any", self.to_payments), clockwork.now)
        self.to_orders = Stub(clockwork, OrdersServicer(orders, orders, self.settlement, Watchers(), cast("Any", None)))
        self._listener = settle_what_is_paid(orders, self.settlement)
        counter: Any = Counter()
        self._neighbours = Neighbours(counter, counter, counter, to_inventory, cast("Any", self.to_orders), cast("Any", self.to_payments))
        self._methods = TakenMethods(self._neighbours.payments)

    async def place(self, key: str, units: dict[str, int], method: str) -> checkout_service_pb2.PlaceOrderResponse:
        """One attempt at an order; it waits for no rival."""
        lines = [checkout_service_pb2.PlaceOrderRequest.Line(sku=sku, quantity=quantity) for sku, quantity in units.items()]
        request = checkout_service_pb2.PlaceOrderRequest(lines=lines, payment_method=payments_pb2.Payment.Method.Value(method))
        calls.enter(calls.Call("PlaceOrder", "edge", PRINCIPAL))
        attempt = RequestKey(PRINCIPAL.key, "PlaceOrder", key, b"same")
        return await PlaceOrderSaga(self._neighbours, self._methods, request, USER, attempt).run(0)

    async def cancel(self, order_id: str) -> None:
        await self.to_orders.CancelOrder(orders_service_pb2.CancelOrderRequest(order_id=order_id))

    async def hear_webhook(self, body: bytes) -> None:
        ask = payments_service_pb2.ReceiveWebhookRequest(gateway=self.bank.name, body=httpbody_pb2.HttpBody(data=body))
        await self.to_payments.ReceiveWebhook(ask)

    async def deliver(self, order_id: str, again: int) -> None:
        """The next event of an order's payment, after so many older ones once more; acked when it has been handled."""
        key = self._listener.topic, order_id
        position = self.bus.positions[key]
        end = min(position + 1, len(self.bus.events[key]))
        await self._listener.handle(
            [event for event in self.bus.events[key][max(0, position - again) : end] if self._listener.wants(event)]
        )
        await self.clockwork.effect()
        self.bus.positions[key] = max(self.bus.positions[key], end)

    def receive(self, key: tuple[str, str], units: int) -> None:
        self.stock.receive(key, units)
        self.received[key] += units

    def until_something_is_due(self) -> float | None:
        """Seconds to the next deadline of an order, a payment or a hold; None when there is none."""
        rows = (*self.orders.rows.values(), *self.payments.rows.values())
        dues = [row.due_at for row in rows if row.due_at] + [hold.expires_at for hold in self.stock.holds]
        return max(1.0, (min(dues) - self.clockwork.now()).total_seconds()) if dues else None


def _money(quantity: int) -> Money:
    return Money(currency_code="INR", minor_units=quantity * PRICE)
