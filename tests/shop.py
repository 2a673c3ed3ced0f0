"""The whole shop on real servers, for flow tests: all services in one process, called as the edge calls them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from google.api import httpbody_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError, Channel

from bazaar.cart.v1 import cart_service_pb2, cart_service_pb2_grpc
from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.checkout.v1 import checkout_service_pb2, checkout_service_pb2_grpc
from bazaar.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from bazaar.orders.v1 import orders_pb2, orders_service_pb2, orders_service_pb2_grpc
from bazaar.payments.v1 import payments_pb2, payments_service_pb2, payments_service_pb2_grpc
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from bazaar.type.v1 import money_pb2
from bazaar.users.v1 import users_pb2, users_service_pb2, users_service_pb2_grpc
from services.kit.auth import ANONYMOUS, Principal
from services.kit.ids import uuid7
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from services.kit.settings import Settings
from tests.invariants import Servers, violations
from tests.sandbox import Hear, SandboxClient
from tests.serving import Client, user

T = TypeVar("T")
ADMIN = user(uuid7(), "admin")
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$VUJRI9Xr4SCismWgq60gmQ$xcI+7sOZVE4kQDggedJt1JPkIMro2tz2RJDP+5i9PGI"
"""Argon2id of "correct horse battery", computed once."""


@dataclass(frozen=True)
class Customer:
    """A registered user with an address."""

    principal: Principal
    address_id: str


class Shop:
    """What a test asks of the shop.

    Args:
        runtime: all services, in this process.
        servers: where their databases are.
        sandbox: the payment gateway.
    """

    def __init__(self, runtime: Runtime, settings: Settings, servers: Servers, sandbox: SandboxClient) -> None:
        self.runtime = runtime
        self.settings = settings
        self.servers = servers
        self.sandbox = sandbox
        self._channel: Channel | None = None
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        await self.runtime.start()
        self._channel = socket_channel(self.settings.listen)

    async def close(self) -> None:
        if self._channel:
            await self._channel.close()
        await self.runtime.stop()

    def stub(self, stub: Callable[[Channel], Any], user: Principal = ANONYMOUS, caller: str = "edge") -> Client:
        """A generated stub over the services' socket, in a caller's and a user's name."""
        assert self._channel is not None
        return Client(stub(self._channel), user, caller)

    def orders(self, user: Principal = ANONYMOUS, caller: str = "edge") -> Client:
        return self.stub(orders_service_pb2_grpc.OrdersServiceStub, user, caller)

    def cart(self, user: Principal) -> Client:
        return self.stub(cart_service_pb2_grpc.CartServiceStub, user)

    def checkout(self, user: Principal) -> Client:
        return self.stub(checkout_service_pb2_grpc.CheckoutServiceStub, user)

    def inventory(self, user: Principal = ADMIN, caller: str = "edge") -> Client:
        return self.stub(inventory_service_pb2_grpc.InventoryServiceStub, user, caller)

    def ranking(self, user: Principal = ANONYMOUS) -> Client:
        return self.stub(ranking_service_pb2_grpc.RankingServiceStub, user)

    async def customer(self) -> Customer:
        """A new customer with an address in Bengaluru."""
        users = self.stub(users_service_pb2_grpc.UsersServiceStub, ADMIN)
        new = users_service_pb2.BatchCreateUsersRequest.NewUser(email=f"{uuid4().hex}@example.org", password_hash=PASSWORD_HASH)
        created = await users.BatchCreateUsers(users_service_pb2.BatchCreateUsersRequest(users=[new]))
        principal = user(created.users[0].user_id)
        address = users_pb2.Address(line1="1 MG Road", city="Bengaluru", state="KA", pincode="560001", country="ZZ")
        ask = users_service_pb2.CreateAddressRequest(user_id=principal.id, address=address)
        answer = await self.stub(users_service_pb2_grpc.UsersServiceStub, principal).CreateAddress(ask)
        return Customer(principal, answer.address.address_id)

    async def stocked(self, units: int = 0, *, price: int = 1000, path: tuple[str, ...] = (), sku: str = "") -> str:
        """A new product with one SKU, priced in USD, with so many units in stock; its SKU."""
        sku = sku or f"sku-{uuid4().hex[:12]}"
        product = catalog_pb2.Product(
            product_id=sku, title=f"Thing {next(self._numbers)}", category_path=path or (f"Root {uuid4().hex[:8]}", "Leaf")
        )
        catalog = self.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)
        imported = await catalog.ImportProducts(catalog_service_pb2.ImportProductsRequest(products=[product]))
        assert imported.created_count == 1, imported
        amount = money_pb2.Money(currency_code="USD", minor_units=price)
        pricing = self.stub(pricing_service_pb2_grpc.PricingServiceStub, ADMIN)
        await pricing.BatchSetPrices(pricing_service_pb2.BatchSetPricesRequest(prices=[pricing_pb2.Price(sku=sku, amount=amount)]))
        if units:
            await self.receive(sku, units)
        return sku

    async def receive(self, sku: str, units: int) -> None:
        await self.inventory().ReceiveStock(inventory_service_pb2.ReceiveStockRequest(sku=sku, quantity=units, reference="test"))

    async def cart_of(self, customer: Customer, *lines: tuple[str, int]) -> str:
        """A new cart with so many units of each SKU; its id."""
        cart_id = (await self.cart(customer.principal).CreateCart(cart_service_pb2.CreateCartRequest())).cart.cart_id
        for sku, quantity in lines:
            await self.add(customer, cart_id, sku, quantity)
        return cart_id

    async def add(self, customer: Customer, cart_id: str, sku: str, quantity: int) -> None:
        """Puts more units of a SKU into a cart."""
        await self.cart(customer.principal).AddItem(cart_service_pb2.AddItemRequest(cart_id=cart_id, sku=sku, quantity=quantity))

    async def put(self, customer: Customer, cart_id: str, sku: str, quantity: int) -> None:
        """Sets how many units of a SKU a cart holds."""
        await self.cart(customer.principal).UpdateItem(cart_service_pb2.UpdateItemRequest(cart_id=cart_id, sku=sku, quantity=quantity))

    async def units_in(self, customer: Customer, cart_id: str) -> int:
        ask = cart_service_pb2.GetItemCountRequest(cart_id=cart_id)
        return (await self.cart(customer.principal).GetItemCount(ask)).item_count

    async def place(
        self, customer: Customer, *lines: tuple[str, int], key: str = "", **fields: Any
    ) -> checkout_service_pb2.PlaceOrderResponse:
        """Places an order of lines, by UPI unless the fields say otherwise; the order and where to pay."""
        ask = order_of(customer, *lines, key=key, **{"payment_method": payments_pb2.Payment.UPI, **fields})
        return await self.checkout(customer.principal).PlaceOrder(ask)

    async def stands(self, customer: Customer, order_id: str) -> tuple[str, str]:
        """The states of an order and of its payment."""
        order = await self.read(customer, order_id)
        return orders_pb2.Order.State.Name(order.state), payments_pb2.Payment.State.Name(order.payment_state)

    async def order(self, customer: Customer, *lines: tuple[str, int], key: str = "", **fields: Any) -> orders_pb2.Order:
        """Places an order of lines, or of what else the fields say."""
        ask = order_of(customer, *lines, key=key, **fields)
        return (await self.checkout(customer.principal).PlaceOrder(ask)).order

    async def order_at_last(self, customer: Customer, *lines: tuple[str, int], key: str) -> orders_pb2.Order:
        """As `order`, asking again with the same key for as long as the shop is too busy to answer, as a customer does."""
        while True:
            try:
                return await self.order(customer, *lines, key=key)
            except AioRpcError as error:
                if error.code() not in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED):
                    raise

    async def read(self, customer: Customer, order_id: str) -> orders_pb2.Order:
        return (await self.orders(customer.principal).GetOrder(orders_service_pb2.GetOrderRequest(order_id=order_id))).order

    async def cancel(self, customer: Customer, order_id: str) -> orders_pb2.Order:
        answer = await self.orders(customer.principal).CancelOrder(orders_service_pb2.CancelOrderRequest(order_id=order_id))
        return answer.order

    async def balance(self, sku: str) -> tuple[int, int]:
        """(on_hand, reserved) over all warehouses."""
        answer = await self.inventory().ListBalances(inventory_service_pb2.ListBalancesRequest(sku=sku))
        return sum(balance.on_hand for balance in answer.balances), sum(balance.reserved for balance in answer.balances)

    async def top(self, category: str, **fields: Any) -> list[tuple[str, int, int, int]]:
        """(product, orders, units, revenue) in rank order."""
        answer = await self.ranking().QueryTopProducts(ranking_service_pb2.QueryTopProductsRequest(category=category, **fields))
        return [(row.product_id, row.orders, row.units, row.revenue.minor_units) for row in answer.products]

    async def violations(self) -> list[str]:
        """What breaks the shop's invariants, once its events have been worked off."""
        return await violations(self.servers)

    async def execute(self, service: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs SQL in a service's database, for what only a test does (setting clocks, looking behind the counter)."""
        return await self.servers.rows(self.servers.database(service), statement, *values)


def order_of(customer: Customer, *lines: tuple[str, int], key: str = "", **fields: Any) -> checkout_service_pb2.PlaceOrderRequest:
    """A request for an order, paid on delivery unless the fields say otherwise."""
    wanted: dict[str, Any] = {"address_id": customer.address_id, "payment_method": payments_pb2.Payment.COD, **fields}
    return checkout_service_pb2.PlaceOrderRequest(
        lines=[checkout_service_pb2.PlaceOrderRequest.Line(sku=sku, quantity=quantity) for sku, quantity in lines], request_id=key, **wanted
    )


def webhooks_to(shop: Shop) -> Hear:
    """What an edge does with webhooks: hands them on, and answers with what the shop says."""
    loop = asyncio.get_running_loop()
    stub = shop.stub(payments_service_pb2_grpc.PaymentsServiceStub)

    async def hand_on(headers: dict[str, str], body: bytes) -> int:
        ask = payments_service_pb2.ReceiveWebhookRequest(gateway="sandbox", body=httpbody_pb2.HttpBody(data=body))
        try:
            await stub.having(("sandbox-signature", headers["sandbox-signature"])).ReceiveWebhook(ask)
        except AioRpcError:
            return 503
        return 200

    return lambda headers, body: asyncio.run_coroutine_threadsafe(hand_on(headers, body), loop).result(20)


async def eventually(read: Callable[[], Awaitable[T]], wanted: T, seconds: float = 10) -> None:
    """Waits until `read` gives what is wanted; fails with what it gave last."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (found := await read()) != wanted:
        assert asyncio.get_running_loop().time() < deadline, f"{found!r} is not {wanted!r}"
        await asyncio.sleep(0.05)


def category_of(path: tuple[str, ...]) -> str:
    """A path's category id, where its parts are letters, digits and single spaces."""
    return ".".join(part.lower().replace(" ", "-") for part in path)


def settings_for(directory: Path, sockets: Path, servers: Servers, redis_url: str, mongo_url: str, process: str) -> Settings:
    """Settings of one process of the shop."""
    return Settings(
        listen=f"unix:{sockets}/{process}.sock",
        process=process,
        database_url=servers.database("{service}"),
        events_url=servers.events,
        redis_url=redis_url,
        mongo_url=mongo_url,
        search_url=f"file://{directory}/search",
        secrets=directory,
        trace_dir=None,
        # A machine that has much else to do is no reason to refuse a test's calls.
        shed_wait_seconds=0,
    )
