"""Requests that no honest client sends."""

from __future__ import annotations

import http.client
import json
import uuid
from typing import Any

import grpc
import pytest

from bazaar.users.v1 import users_service_pb2
from services.kit.rpc.status import reason_of
from tests.flow.edge.client import ADDRESS, PASSWORD, Edge, order_of, refusal
from tests.flow.edge.conftest import SHIRT, Household

pytestmark = [pytest.mark.edge, pytest.mark.usefixtures("unchanged")]

INVALID = (400, "VALIDATION_FAILED")
JSON = {"content-type": "application/json"}
ITEM = {"sku": f"{SHIRT}-s", "quantity": 1}
DEEP = b'{"title": "x", "categoryPath": ["x"], "attributes": ' + b'{"a": ' * 3000 + b"1" + b"}" * 3001


def items_of(household: Household) -> str:
    return f"/v1/carts/{household.cart_id}/items"


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"sku=edge-tv&quantity=1",
        b"<item/>",
        b'{"sku": "edge-tv", "quantity": 1} {}',
        b'{"sku": "edge-tv", "quantity": 1e999}',
        b'{"sku": "edge-tv", "quantity": NaN}',
        b'{"sku": {"a": 1}, "quantity": 1}',
        b'{"sku": ["edge-tv"], "quantity": 1}',
        b'{"sku": "\xff\xfe", "quantity": 1}',
        b'{"sku": "\\ud800", "quantity": 1}',
        b'{"sku": "edge\\u0000tv", "quantity": 1}',
        b'{"sku": "edge\x00tv", "quantity": 1}',
        b"\x00" * 100,
        b"\xef\xbb\xbf",
    ],
    ids=repr,
)
def test_no_such_body(edge: Edge, buyer: Household, body: bytes):
    assert refusal(edge.call("POST", items_of(buyer), user=buyer.owner, headers=JSON, content=body)) == INVALID


def test_a_document_that_is_too_deep_is_refused(edge: Edge):
    assert refusal(edge.call("POST", "/v1/products", user=edge.admin, headers=JSON, content=DEEP)) == INVALID


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\\ud800", b"a\\u0000b"], ids=repr)
@pytest.mark.parametrize("field", ["firstName", "lastName", "email"])
def test_nobody_registers_with_such_a_text(edge: Edge, field: str, text: bytes):
    email = f"{uuid.uuid4().hex}@example.org".encode()
    fields = {"email": email, "password": PASSWORD.encode(), "firstName": b"A", "lastName": b"B"}
    fields[field] = b"%b%b" % (text, fields[field])
    body = b"{%b}" % b", ".join(b'"%b": "%b"' % (name.encode(), value) for name, value in fields.items())

    assert refusal(edge.call("POST", "/v1/users/register", headers=JSON, content=body)) == INVALID
    login = {"email": email.decode(), "password": PASSWORD}
    assert refusal(edge.call("POST", "/v1/users/login", login)) == (401, "CREDENTIALS_INVALID")


@pytest.mark.parametrize("field", ["line1", "line2", "city", "state", "pincode"])
def test_an_address_holds_no_nul(edge: Edge, buyer: Household, field: str):
    url = f"/v1/users/{buyer.owner.user_id}/addresses"

    assert refusal(edge.call("POST", url, {**ADDRESS, field: "a\0b"}, user=buyer.owner)) == INVALID


@pytest.mark.parametrize("path", [items_of, lambda _: "/v1/orders", lambda _: "/v1/users/login", lambda _: "/v1/nothing"])
def test_five_megabytes_are_too_much(edge: Edge, buyer: Household, path):
    body = b'{"sku": "%b"}' % (b"x" * 5_000_000)
    answer = edge.call("POST", path(buyer), user=buyer.owner, headers=JSON, content=body)

    assert refusal(answer) == (413, "VALIDATION_FAILED")


def test_five_megabytes_are_too_much_for_an_import(edge: Edge):
    answer = edge.call("POST", "/v1/products:import", user=edge.admin, headers=JSON, content=b'{"products": [%b]}' % (b" " * 5_000_000))

    assert refusal(answer) == (413, "VALIDATION_FAILED")


def test_a_body_that_is_sent_in_pieces_is_measured_too(edge: Edge, buyer: Household):
    pieces = (b" " * 100_000 for _ in range(50))
    answer = edge.call("POST", items_of(buyer), user=buyer.owner, headers=JSON, content=pieces)

    assert refusal(answer) == (413, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/xml", "multipart/form-data; boundary=x", "application/x-protobuf"]
)
def test_what_is_no_json_is_refused_whatever_it_calls_itself(edge: Edge, buyer: Household, content_type: str):
    answer = edge.call(
        "POST", items_of(buyer), user=buyer.owner, headers={"content-type": content_type}, content=b"\x0a\x07edge-tv\x20\x01"
    )

    assert refusal(answer) == INVALID


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web+proto", "application/grpc+json"])
def test_json_that_calls_itself_grpc_does_nothing(edge: Edge, buyer: Household, content_type: str):
    headers = {"content-type": content_type, "authorization": f"Bearer {buyer.owner.token}"}
    answer = edge.http.post(items_of(buyer), json=ITEM, headers=headers)

    assert answer.headers.get("grpc-status") != "0"


def test_the_fields_of_nobody_are_ignored(edge: Edge, buyer: Household):
    body = {"lines": [ITEM], "country": "ZZ", "price": 1, "__proto__": {"admin": True}}
    answer = edge.ok("POST", "/v1/quotes", body, user=buyer.owner)

    assert answer["quote"]["subtotal"]["minorUnits"] == "1999"


def test_a_path_decides_against_the_body(edge: Edge, buyer: Household, stranger: Household):
    answer = edge.call("POST", items_of(buyer), {**ITEM, "quantity": 0, "cartId": stranger.cart_id}, user=buyer.owner)

    assert refusal(answer) == INVALID


# Paths


@pytest.mark.parametrize(
    "target",
    [
        "/v1/products/../orders",
        "/v1/products/%2e%2e/orders",
        "/v1/./orders",
        "//v1//orders",
        "/api/../v1/orders",
    ],
)
def test_a_path_is_tidied_up_before_it_is_judged(edge: Edge, target: str):
    status, body = edge.raw("GET", target)

    assert (status, json.loads(body)["details"][0]["reason"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "target",
    [
        "/v1%2Forders",
        "/v1/products%2f..%2forders",
        "/v1/products/a%5cb",
        "/v1/products/a%00b",
        "/v1/products/%ff%fe",
        "/v1/products/..%5c..%5cetc%5cpasswd",
        "/v1/products/edge%20tv",
        "/v1/products/" + "a" * 20_000,
    ],
)
def test_no_such_path(edge: Edge, target: str):
    status, body = edge.raw("GET", target)

    assert (status, json.loads(body)["details"][0]["reason"]) == INVALID


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/v1/orders/",
        "/v1/orders;a=b",
        "/v1/orders/x:confirm",
        "/v1/orders/x/y",
        "/V1/orders",
        "/v1/users",
        "/bazaar.orders.v1.OrdersService/ListOrders",
        "/bazaar.orders.v1.OrdersService/ConfirmOrder",
        "/bazaar.inventory.v1.InventoryService/Reserve",
        "/v1/bazaar.orders.v1.OrdersService/ListOrders",
        "/v1/orders:open",
        "/v1/inventory:reserve",
        "/v1/payments",
        "/grpc.health.v1.Health/Check",
        "/config_dump",
        "/clusters",
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_there_is_nothing_at(edge: Edge, buyer: Household, verb: str, target: str):
    headers = {**JSON, "authorization": f"Bearer {buyer.owner.token}"}
    status, body = edge.raw(verb, target, headers, b"{}" if verb == "POST" else None)

    assert (status, json.loads(body)["details"][0]["reason"]) == (404, "METHOD_NOT_FOUND")


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_no_such_verb(edge: Edge, verb: str):
    status, _ = edge.raw(verb, "/v1/orders")

    assert status in (400, 404)


# Headers


def test_too_many_headers_are_refused(edge: Edge):
    answer = edge.call("GET", "/v1/products", headers={f"x-{number}": "x" for number in range(200)})

    assert refusal(answer) == (431, "VALIDATION_FAILED")


def test_headers_that_are_too_large_are_refused(edge: Edge):
    assert refusal(edge.call("GET", "/v1/products", headers={"x-large": "x" * 40_000})) == (431, "VALIDATION_FAILED")


@pytest.mark.parametrize("key", ["k" * 129, "é", "a\tb"])
def test_an_idempotency_key_is_any_short_text(edge: Edge, buyer: Household, key: str):
    body = order_of(buyer.owner, f"{SHIRT}-s", addressId=str(uuid.uuid4()))
    answer = edge.call("POST", "/v1/orders", body, user=buyer.owner, headers={b"idempotency-key": key.encode()})  # type: ignore[dict-item]

    assert refusal(answer)[0] in (400, 404)


@pytest.mark.parametrize("traceparent", ["x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + "a" * 60])
def test_a_broken_trace_context_does_no_harm(edge: Edge, traceparent: str):
    assert edge.call("GET", "/v1/products?pageSize=1", headers={"traceparent": traceparent}).status_code == 200


@pytest.mark.parametrize("header", ["grpc-timeout: never", "grpc-timeout: -1S", "grpc-encoding: secret"])
def test_a_header_that_grpc_cannot_parse_is_refused_and_disturbs_nobody_else(edge: Edge, header: str):
    name, value = header.split(": ")
    answer = edge.call("GET", "/v1/products?pageSize=1", headers={name: value})

    assert refusal(answer) == INVALID
    assert {edge.call("GET", "/v1/products?pageSize=1").status_code for _ in range(10)} == {200}


@pytest.mark.parametrize("name", ["grpc-previous-rpc-attempts", "grpc-status", "grpc-tags-bin", "x-any-bin", "x-any", "x!any", "x&any"])
def test_a_header_that_nobody_reads_is_ignored(edge: Edge, name: str):
    assert edge.call("GET", "/v1/products?pageSize=1", headers={name: "!"}).status_code == 200


def test_a_body_has_one_length(edge: Edge):
    connection = http.client.HTTPConnection("127.0.0.1", edge.running.port, timeout=10)
    connection.putrequest("POST", "/v1/users/login")
    connection.putheader("content-length", "2")
    connection.putheader("content-length", "3")
    connection.endheaders(b"{}")

    assert connection.getresponse().status == 400


# Protobuf


def test_a_text_that_is_no_utf_8_is_refused_in_protobuf(edge: Edge):
    message = users_service_pb2.LoginRequest(email="xx@example.org", password="wrong").SerializeToString().replace(b"xx", b"\xff\xfe")

    assert failure(edge, message) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


@pytest.mark.parametrize("message", [b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"{}"], ids=repr)
def test_bytes_that_are_no_message_are_refused(edge: Edge, message: bytes):
    assert failure(edge, message) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


def failure(edge: Edge, message: bytes) -> tuple[grpc.StatusCode, str | None]:
    """The status and the reason that these bytes get as a gRPC request."""
    with grpc.insecure_channel(f"127.0.0.1:{edge.running.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/bazaar.users.v1.UsersService/Login")(message, timeout=10)
    error: Any = caught.value
    return error.code(), reason_of(error)
