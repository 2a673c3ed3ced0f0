"""One order is one trace, from the edge to the ranking; and nothing of it is personal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from services.kit.telemetry.store import StoredSpan, find_trace, read_trace
from tests.flow.edge.client import ADDRESS, Customer, Edge, order_of
from tests.flow.edge.conftest import LAMP, TV
from tests.personal_data import personal_data_in

pytestmark = pytest.mark.edge
CONFIRM = "bazaar.orders.v1.OrdersService/ConfirmOrder"
PLACE = "bazaar.checkout.v1.CheckoutService/PlaceOrder"


@dataclass(frozen=True)
class Trace:
    """An order's trace, with the batches that worked on it."""

    order_id: str
    trace_id: str
    spans: list[StoredSpan]

    @property
    def own(self) -> list[StoredSpan]:
        return [span for span in self.spans if span.trace_id == self.trace_id]

    def span(self, service: str, name: str, kind: str) -> StoredSpan:
        """The only one in the trace itself."""
        [found] = [span for span in self.own if (span.service, span.name, span.kind) == (service, name, kind)]
        return found

    def ancestors(self, span: StoredSpan) -> list[tuple[str, str]]:
        """(service, name) of its parent, its parent's parent and so on, over links where a batch begins its own trace."""
        by_id = {each.span_id: each for each in self.spans}
        found = []
        while True:
            above = span.parent_id or next((link for _, link in span.links if link in by_id), "")
            if above not in by_id:
                return found
            span = by_id[above]
            found.append((span.service, span.name))

    def edges(self) -> set[tuple[str, str]]:
        """Who called whom: (calling service, answering service)."""
        by_id = {span.span_id: span for span in self.own}
        return {
            (by_id[span.parent_id].service, span.service)
            for span in self.own
            if span.parent_id in by_id and span.service != by_id[span.parent_id].service
        }


@pytest.fixture(scope="module")
def trace(edge: Edge, shopper: Customer) -> Trace:
    """One order of a cart with two lines, traced until it is ranked."""
    cart_id = edge.cart(shopper, TV, LAMP)
    # What has changed since it was put into the cart is asked for anew.
    edge.ok("PATCH", f"/v1/products/{LAMP}?updateMask=brand", {"brand": f"Brand {uuid.uuid4().hex}"}, user=edge.admin)
    order = edge.ok("POST", "/v1/orders", order_of(shopper, cartId=cart_id), user=shopper, key=uuid.uuid4().hex)["order"]

    def read() -> Trace:
        [trace_id] = find_trace(edge.running.traces, order["orderId"]) or [""]
        return Trace(order["orderId"], trace_id, read_trace(edge.running.traces, trace_id) if trace_id else [])

    def is_whole(trace: Trace) -> bool:
        # Each process writes its spans down when it comes to it: who published may do so after those who heard of it.
        services = {(span.service, span.kind) for span in trace.own}
        is_published = any(span.name == "publish order-lines" for span in trace.own)
        return is_published and {("edge", "SERVER"), ("ranking", "CONSUMER"), ("cart", "CONSUMER")} <= services

    return edge.eventually(read, is_whole)


def test_the_edge_begins_it(trace: Trace):
    [root] = [span for span in trace.own if not span.parent_id]

    assert (root.service, root.name, root.kind, root.attributes["http.status_code"]) == ("edge", PLACE, "SERVER", "201")


def test_nothing_of_it_hangs_loose(trace: Trace):
    known = {span.span_id for span in trace.own}

    assert [span.name for span in trace.own if span.parent_id and span.parent_id not in known] == []


CALLS = [
    ("edge", "checkout"),
    ("checkout", "orders"),
    ("checkout", "cart"),
    ("checkout", "users"),
    ("checkout", "pricing"),
    ("pricing", "catalog"),
    ("checkout", "inventory"),
    ("checkout", "payments"),
    ("orders", "inventory"),
    ("orders", "ranking"),
    ("orders", "cart"),
]


@pytest.mark.parametrize(("caller", "callee"), CALLS, ids=[f"{caller} to {callee}" for caller, callee in CALLS])
def test_it_goes_from(trace: Trace, caller: str, callee: str):
    assert (caller, callee) in trace.edges()


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("checkout", PLACE),
        ("orders", "bazaar.orders.v1.OrdersService/OpenOrder"),
        ("cart", "bazaar.cart.v1.CartService/GetCheckoutLines"),
        ("users", "bazaar.users.v1.UsersService/GetAddress"),
        ("pricing", "bazaar.pricing.v1.PricingService/CreateQuote"),
        ("catalog", "bazaar.catalog.v1.CatalogService/BatchGetProducts"),
        ("inventory", "bazaar.inventory.v1.InventoryService/Reserve"),
        ("orders", "bazaar.orders.v1.OrdersService/SubmitOrder"),
        ("payments", "bazaar.payments.v1.PaymentsService/CreatePayment"),
        ("orders", CONFIRM),
        ("inventory", "bazaar.inventory.v1.InventoryService/CommitReservation"),
    ],
)
def test_a_step_is_below_the_edge(trace: Trace, service: str, name: str):
    assert trace.ancestors(trace.span(service, name, "SERVER"))[-1] == ("edge", PLACE)


@pytest.mark.parametrize("service", ["users", "cart", "pricing", "orders", "inventory", "payments", "ranking"])
def test_a_services_postgresql_is_in_it(trace: Trace, service: str):
    statements = [span for span in trace.spans if span.attributes.get("db.namespace") == f"bazaar_{service}"]

    assert {span.attributes["db.system.name"] for span in statements} == {"postgresql"}
    assert {trace.ancestors(span)[-1] for span in statements} == {("edge", PLACE)}


def test_mongodb_is_in_it(trace: Trace):
    [find] = [span for span in trace.spans if span.attributes.get("db.system.name") == "mongodb"]

    assert trace.ancestors(find)[:3] == [
        ("catalog", "batch products"),
        ("catalog", "bazaar.catalog.v1.CatalogService/BatchGetProducts"),
        ("pricing", "bazaar.catalog.v1.CatalogService/BatchGetProducts"),
    ]


def test_redis_is_in_it(trace: Trace):
    writes = [span for span in trace.spans if span.attributes.get("db.system.name") == "redis" and span.service == "ranking"]

    assert writes
    assert {trace.ancestors(span)[-1] for span in writes} == {("edge", PLACE)}


@pytest.mark.parametrize(("topic", "consumer"), [("order-lines", "ranking"), ("orders", "cart")])
def test_an_event_is_published_and_consumed_in_it(trace: Trace, topic: str, consumer: str):
    [publish] = [span for span in trace.own if span.name == f"publish {topic}" and (CONFIRM in dict(map(reversed, trace.ancestors(span))))]
    consumed = [span for span in trace.own if (span.service, span.name, span.kind) == (consumer, f"process {topic}", "CONSUMER")]

    assert publish.kind == "PRODUCER"
    assert publish.attributes["messaging.message.id"] in {span.attributes["messaging.message.id"] for span in consumed}
    assert {trace.ancestors(span)[-1] for span in consumed} == {("edge", PLACE)}


def test_a_persons_view_of_it_begins_with_the_edge(edge: Edge, trace: Trace):
    shown = edge.running.run("trace", trace.order_id)

    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"order {trace.order_id}  1 trace, ")
    [header] = [number for number, line in enumerate(lines) if line.startswith(f"trace {trace.trace_id}")]
    assert lines[header + 1].startswith(f"edge {PLACE}")
    assert lines[header + 2].startswith(f"  checkout {PLACE}")


def test_a_trace_that_nobody_keeps_is_a_plain_sentence(edge: Edge):
    order_id = str(uuid.uuid4())
    shown = edge.running.run("trace", order_id)

    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"bazaar: no trace of order {order_id}")


def secrets_of(edge: Edge, customer: Customer, tokens: dict[str, str]) -> Iterator[str]:
    """What must be nowhere but in the databases and the client's hands."""
    yield from (customer.email, customer.email.split("@")[0], customer.password, customer.token, customer.token.split(".")[1])
    yield from tokens.values()
    yield from (ADDRESS["line1"], "Kavitha", "Subramaniam", "Lotus Apartments", "+91 98450 12345")
    yield from (edge.running.secret(name) for name in ("admin_password", "redis_password", "mongo_password"))


def test_what_is_personal_is_neither_traced_nor_logged(edge: Edge):
    person = edge.customer()
    profile = f"/v1/users/{person.user_id}"
    edge.ok("PUT", profile, {"firstName": "Kavitha", "lastName": "Subramaniam"}, user=person)
    edge.ok("POST", f"{profile}/addresses", {**ADDRESS, "line2": "Lotus Apartments", "city": "+91 98450 12345"}, user=person)
    tokens = person.log_in()
    refreshed = edge.ok("POST", "/v1/users/refresh", {"refreshToken": tokens["refreshToken"]})
    for bad in ({"email": person.email, "password": "wrong"}, {"email": f"{person.email}\0", "password": person.password}):
        edge.call("POST", "/v1/users/login", bad)
    edge.call("POST", "/v1/users/register", {"email": person.email, "password": person.password, "firstName": "Kavitha"})
    edge.call("GET", f"/v1/products?category={person.email}", headers={"user-agent": person.email, "referer": person.email})
    edge.call("GET", f"{profile}/addresses/{person.email}", user=person)
    order = edge.order(person, TV)["orderId"]
    edge.eventually(lambda: find_trace(edge.running.traces, order), bool)
    kept = {"access": tokens["accessToken"], "refresh": tokens["refreshToken"], "again": refreshed["refreshToken"]}

    assert personal_data_in(edge.running.traces, edge.running.logs, known=list(secrets_of(edge, person, kept))) == []
