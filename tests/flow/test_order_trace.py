"""One order is one trace: what called what, from checkout to the rankings. (The edge's own span is asserted where the edge runs.)"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from bazaar.orders.v1 import orders_pb2
from services.catalog import memory
from services.checkout import methods
from services.kit.telemetry import tracing
from services.kit.telemetry.spans import Span
from tests.shop import Shop, eventually
from tests.spans import recorded

CHECKOUT = "checkout CheckoutService/PlaceOrder"
ROOT = "Trace Toys"


@dataclass
class Trace:
    """The spans of one order."""

    order: orders_pb2.Order
    own: list[Span]
    """Of the order's trace."""
    linked: list[Span]
    """Of batches that the order's spans link to, and what they did."""

    def edges(self) -> set[tuple[str, str]]:
        """(parent, child) by name; a call's two ends are one, and a batch hangs under those who wait for it."""
        spans = {span.context.span_id: span for span in (*self.own, *self.linked)}
        found = {(_name(spans[parent]), _name(span)) for span in spans.values() if (parent := _parent_id(span, spans))}
        return found | {(_name(span), _name(spans[link.context.span_id])) for span in self.own for link in span.links}


def _parent_id(span: Span, spans: dict[int, Span]) -> int | None:
    parent = span.parent and spans.get(span.parent.span_id)
    if parent and parent.kind is tracing.SpanKind.CLIENT:
        parent = parent.parent and spans.get(parent.parent.span_id)
    return parent.context.span_id if parent else None


def _name(span: Span) -> str:
    return f"{span.service} {'.'.join(span.name.split('.')[3:]) if '/' in span.name else span.name}"


@pytest.fixture(scope="module")
async def trace(shop: Shop) -> Trace:
    with pytest.MonkeyPatch.context() as patch:
        # An order as the first in its process: what is asked once a minute is asked for it, and nobody knows its product.
        patch.setattr(methods, "KEPT_SECONDS", 0.0)
        patch.setattr(memory, "MOST_PRODUCTS", 0)
        return await _traced_order(shop)


async def _traced_order(shop: Shop) -> Trace:
    sku, customer = await shop.stocked(5, path=(ROOT, "Puzzles")), await shop.customer()
    cart_id = await shop.cart_of(customer, (sku, 2))
    with recorded() as spans:
        order = await shop.order(customer, cart_id=cart_id, key="traced")
        # Before the ranking is asked: who asks while the line is being counted may write it to Redis in the counter's place.
        await eventually(lambda: _count(spans.all, "process order-lines"), 2)
        await eventually(lambda: shop.top("trace-toys"), [(sku, 1, 2, 2000)])
        await eventually(lambda: shop.units_in(customer, cart_id), 0)
        await eventually(lambda: _count(spans.all, "publish payments"), 1)
        everything = [span for span in spans.all if isinstance(span, Span)]
    own = _of_trace(everything, next(span for span in everything if span.name.endswith("/PlaceOrder")))
    batches = {link.context.trace_id for span in own for link in span.links}
    return Trace(order, own, [span for span in everything if span.context.trace_id in batches - {own[0].context.trace_id}])


async def _count(spans: list[ReadableSpan], name: str) -> int:
    return sum(span.name == name for span in spans)


def _of_trace(spans: list[Span], one: Span) -> list[Span]:
    return [span for span in spans if span.context.trace_id == one.context.trace_id]


@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        (CHECKOUT, "orders OrdersService/OpenOrder"),
        (CHECKOUT, "cart CartService/GetCheckoutLines"),
        (CHECKOUT, "users UsersService/GetAddress"),
        (CHECKOUT, "payments PaymentsService/ListMethods"),
        (CHECKOUT, "pricing PricingService/CreateQuote"),
        ("pricing PricingService/CreateQuote", "catalog CatalogService/BatchGetProducts"),
        (CHECKOUT, "inventory InventoryService/Reserve"),
        (CHECKOUT, "orders OrdersService/SubmitOrder"),
        (CHECKOUT, "payments PaymentsService/CreatePayment"),
        (CHECKOUT, "orders OrdersService/ConfirmOrder"),
        ("orders OrdersService/ConfirmOrder", "inventory InventoryService/CommitReservation"),
    ],
)
def test_a_call_is_its_callers_child(trace: Trace, caller: str, callee: str):
    assert (caller, callee) in trace.edges()


@pytest.mark.parametrize(
    ("caller", "batch"),
    [
        ("orders OrdersService/OpenOrder", "orders batch open orders"),
        ("users UsersService/GetAddress", "users batch addresses"),
        ("cart CartService/GetCheckoutLines", "cart batch cart lines"),
        ("pricing PricingService/CreateQuote", "pricing batch prices"),
        ("orders OrdersService/SubmitOrder", "orders batch orders"),
        ("orders OrdersService/ConfirmOrder", "orders batch orders"),
        ("inventory InventoryService/Reserve", "inventory batch reservations"),
        ("inventory InventoryService/CommitReservation", "inventory batch reservations"),
        ("payments PaymentsService/CreatePayment", "payments batch payments"),
        ("catalog CatalogService/BatchGetProducts", "catalog batch products"),
        ("cart process orders", "cart process orders"),
        ("ranking process order-lines", "ranking process order-lines"),
    ],
)
def test_a_batch_is_linked_from_those_it_works_for(trace: Trace, caller: str, batch: str):
    assert (caller, batch) in trace.edges()


@pytest.mark.parametrize(
    ("caller", "statement"),
    [
        ("orders batch open orders", "orders INSERT order_requests"),
        ("orders batch orders", "orders INSERT order_contents"),
        ("orders batch orders", "orders UPDATE orders"),
        ("orders batch orders", "orders INSERT outbox"),
        ("orders batch orders", "orders COMMIT"),
        ("inventory batch reservations", "inventory INSERT reservations"),
        ("inventory batch reservations", "inventory INSERT ledger"),
        ("payments batch payments", "payments INSERT payments"),
        ("users batch addresses", "users SELECT addresses"),
        ("cart batch cart lines", "cart SELECT carts"),
        ("pricing batch prices", "pricing SELECT prices"),
        ("catalog batch products", "catalog find products"),
        ("cart process orders", "cart DELETE cart_items"),
        ("ranking process order-lines", "ranking UPDATE roots"),
    ],
)
def test_a_statement_is_the_child_of_what_sent_it(trace: Trace, caller: str, statement: str):
    service, wanted = statement.split(" ", 1)
    trips = [name.removeprefix(f"{service} ") for parent, name in trace.edges() if parent == caller and name.startswith(service)]

    assert wanted in {each for trip in trips for each in trip.split("; ")}


def test_the_rankings_projection_is_written_in_redis(trace: Trace):
    written = {name for parent, name in trace.edges() if parent == "ranking process order-lines"}
    systems = {span.attributes["db.system.name"] for span in trace.linked if "db.system.name" in span.attributes}

    assert any(name.endswith(("rank apply", "rank install")) for name in written)
    assert systems == {"mongodb", "postgresql", "redis"}


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("orders OrdersService/SubmitOrder", "orders publish orders"),
        ("orders OrdersService/ConfirmOrder", "orders publish orders"),
        ("orders OrdersService/ConfirmOrder", "orders publish order-lines"),
        ("orders OrdersService/ConfirmOrder", "cart process orders"),
        ("orders OrdersService/ConfirmOrder", "ranking process order-lines"),
        ("payments batch payments", "payments publish payments"),
    ],
)
def test_an_event_is_published_and_consumed_in_the_trace_of_its_cause(trace: Trace, cause: str, effect: str):
    assert (cause, effect) in trace.edges()


def test_every_span_of_the_trace_hangs_under_the_order(trace: Trace):
    ids = {span.context.span_id for span in trace.own}

    assert [span.name for span in trace.own if span.parent is None or span.parent.span_id not in ids] == [
        "bazaar.checkout.v1.CheckoutService/PlaceOrder"
    ]


def test_the_order_is_found_by_its_id(trace: Trace):
    marked = {_name(span) for span in trace.own if span.attributes.get(tracing.ORDER_ID) == trace.order.order_id}

    assert marked == {
        CHECKOUT,
        "orders OrdersService/OpenOrder",
        "orders OrdersService/SubmitOrder",
        "orders OrdersService/ConfirmOrder",
        "inventory InventoryService/Reserve",
        "inventory InventoryService/CommitReservation",
        "payments PaymentsService/CreatePayment",
    }


def test_no_span_says_where_the_customer_lives(trace: Trace):
    said = str([(span.name, dict(span.attributes)) for span in (*trace.own, *trace.linked)])

    assert [personal for personal in ("MG Road", "560001", "Bengaluru") if personal in said] == []
