"""gRPC and gRPC-Web on the edge's port."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.checkout.v1 import checkout_service_pb2, checkout_service_pb2_grpc
from bazaar.inventory.v1 import inventory_pb2, inventory_service_pb2, inventory_service_pb2_grpc
from bazaar.orders.v1 import orders_service_pb2, orders_service_pb2_grpc
from bazaar.payments.v1 import payments_pb2, payments_service_pb2, payments_service_pb2_grpc
from bazaar.users.v1 import users_service_pb2, users_service_pb2_grpc
from gateway.methods import Method, methods, service_files
from services.kit.auth import Policy
from services.kit.rpc.status import reason_of
from tests.flow.edge.client import Customer, Edge
from tests.flow.edge.conftest import TV, Household
from tools import ROOT

pytestmark = pytest.mark.edge

METHODS = methods(service_files(), Policy.load(ROOT / "mesh" / "policy.yaml"))
INTERNAL = [pytest.param(method, id=method.name) for method in METHODS if not method.is_open]


@pytest.fixture(scope="module")
def channel(edge: Edge) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{edge.running.port}") as channel:
        yield channel


def of(user: Customer) -> Any:
    """The metadata of a user's call."""
    return (("authorization", f"Bearer {user.token}"),)


def failure(call: Any) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), reason_of(error)


def test_a_stub_works_without_a_token_where_none_is_needed(channel: grpc.Channel):
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)

    assert stub.GetProduct(catalog_service_pb2.GetProductRequest(product_id=TV)).product.title == "Television"


def test_a_stub_orders(channel: grpc.Channel, shopper: Customer):
    line = checkout_service_pb2.PlaceOrderRequest.Line(sku=TV, quantity=1)
    ask = checkout_service_pb2.PlaceOrderRequest(lines=[line], address_id=shopper.address_id, payment_method=payments_pb2.Payment.COD)
    order = checkout_service_pb2_grpc.CheckoutServiceStub(channel).PlaceOrder(ask, metadata=of(shopper)).order

    assert (order.user_id, order.total.currency_code) == (shopper.user_id, "USD")


def test_an_error_arrives_with_its_details(channel: grpc.Channel, shopper: Customer):
    stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
    ask = orders_service_pb2.GetOrderRequest(order_id="0190c2a4-0000-7000-8000-000000000001")

    assert failure(lambda: stub.GetOrder(ask, metadata=of(shopper))) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


def test_a_stream_arrives(channel: grpc.Channel, shopper: Customer, edge: Edge):
    stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
    order_id = edge.order(shopper, TV)["orderId"]
    watch = stub.WatchOrder(orders_service_pb2.WatchOrderRequest(order_id=order_id), metadata=of(shopper), timeout=10)
    first = next(watch)
    watch.cancel()

    assert first.order.order_id == order_id


def test_a_users_method_wants_a_token(channel: grpc.Channel):
    stub = orders_service_pb2_grpc.OrdersServiceStub(channel)

    assert failure(lambda: stub.ListOrders(orders_service_pb2.ListOrdersRequest()))[0] == grpc.StatusCode.UNAUTHENTICATED


def test_a_staff_method_wants_staff(channel: grpc.Channel, shopper: Customer):
    stub = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    ask = inventory_service_pb2.ReceiveStockRequest(sku=TV, quantity=1)

    assert failure(lambda: stub.ReceiveStock(ask, metadata=of(shopper))) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_GRANTED")


@pytest.mark.parametrize("method", INTERNAL)
def test_an_internal_method_is_denied_whoever_asks(channel: grpc.Channel, edge: Edge, method: Method):
    pretence = (("x-bazaar-caller", "checkout"), ("x-bazaar-user", base64.urlsafe_b64encode(b"{}").decode()))
    call = channel.unary_unary(method.path)

    assert failure(lambda: call(b"", metadata=(*of(edge.admin), *pretence), timeout=10))[0] == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.usefixtures("unchanged")
def test_internal_methods_do_nothing_for_outsiders(channel: grpc.Channel, edge: Edge, buyer: Household):
    order_id, lines = buyer.order_id, [inventory_pb2.StockLine(sku="edge-shirt-s", quantity=1)]
    inventory = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    payments = payments_service_pb2_grpc.PaymentsServiceStub(channel)
    users = users_service_pb2_grpc.UsersServiceStub(channel)
    asks = [
        (inventory.Reserve, inventory_service_pb2.ReserveRequest(order_id=order_id, lines=lines)),
        (inventory.ReturnReservation, inventory_service_pb2.ReturnReservationRequest(order_id=order_id)),
        (payments.VoidPayment, payments_service_pb2.VoidPaymentRequest(order_id=order_id)),
        (users.ListRevocations, users_service_pb2.ListRevocationsRequest()),
    ]
    codes = [failure(partial(call, ask, metadata=of(edge.admin)))[0] for call, ask in asks]

    assert codes == [grpc.StatusCode.PERMISSION_DENIED] * 4


def test_what_is_for_neighbours_is_not_there(channel: grpc.Channel):
    calls = [
        lambda: health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()),
        lambda: channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(iter([b""])).__next__(),
        lambda: trace_service_pb2_grpc.TraceServiceStub(channel).Export(trace_service_pb2.ExportTraceServiceRequest()),
        lambda: channel.unary_unary("/bazaar.orders.v1.OrdersService/Nope")(b""),
    ]

    assert [failure(call)[0] for call in calls] == [grpc.StatusCode.UNIMPLEMENTED] * 4


def web(edge: Edge, method: str, message: bytes, **headers: str) -> Any:
    """A gRPC-Web call's answer."""
    content = b"\0" + len(message).to_bytes(4, "big") + message
    sent = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
    return edge.http.post(f"/{method}", content=content, headers=sent)


def test_grpc_web_works(edge: Edge):
    answer = web(edge, "bazaar.catalog.v1.CatalogService/GetProduct", b"\x0a\x07edge-tv").content

    length = int.from_bytes(answer[1:5], "big")
    response = catalog_service_pb2.GetProductResponse.FromString(answer[5 : 5 + length])
    assert (response.product.title, b"grpc-status:0" in answer[5 + length :]) == ("Television", True)


def test_a_grpc_web_error_arrives_with_its_details(edge: Edge):
    answer = web(edge, "bazaar.catalog.v1.CatalogService/GetProduct", b"\x0a\x04none")

    assert (answer.headers["grpc-status"], "grpc-status-details-bin" in answer.headers) == ("5", True)


def test_an_internal_method_is_denied_to_grpc_web(edge: Edge):
    answer = web(edge, "bazaar.users.v1.UsersService/ListRevocations", b"", authorization=f"Bearer {edge.admin.token}")

    assert answer.headers["grpc-status"] == "7"
