"""Server-sent events at the edge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.kit.telemetry.store import StoredSpan, read_trace
from tests.flow.edge.client import Customer, Edge
from tests.flow.edge.conftest import TV

pytestmark = pytest.mark.edge
WATCH = "bazaar.orders.v1.OrdersService/WatchOrder"


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """What a stream sends, as it comes."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def watching(edge: Edge, path: str, user: Customer | None = None, **headers: str) -> Any:
    sent = {"authorization": f"Bearer {user.token}", **headers} if user else headers
    return edge.http.stream("GET", path, headers=sent, timeout=httpx.Timeout(10))


def test_a_watcher_sees_an_order_as_it_is_and_then_each_change(edge: Edge, shopper: Customer):
    order_id = edge.order(shopper, TV)["orderId"]
    with watching(edge, f"/v1/orders/{order_id}:watch", shopper) as answer:
        seen = events(answer)
        first = next(seen)
        edge.ok("POST", f"/v1/orders/{order_id}:cancel", {}, user=shopper)
        rest = list(seen)

    assert (first["order"]["state"], first["isLast"]) == ("CONFIRMED", False)
    assert (rest[-1]["order"]["state"], rest[-1]["isLast"]) == ("CANCELLED", True)


def test_a_watcher_resumes_after_a_version(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)
    edge.ok("POST", f"/v1/orders/{order['orderId']}:cancel", {}, user=shopper)
    with watching(edge, f"/v1/orders/{order['orderId']}:watch?afterVersion={order['version']}", shopper) as answer:
        versions = [int(event["order"]["version"]) for event in events(answer)]

    assert min(versions) > int(order["version"])


def test_a_watcher_of_a_top_list_sees_an_order(edge: Edge, shopper: Customer):
    edge.stock({"productId": "edge-watched", "title": "Watched", "categoryPath": ["Edge watched"]})
    with watching(edge, "/v1/queryTopProducts:watch?category=edge-watched") as answer:
        seen = events(answer)
        first = next(seen)
        edge.order(shopper, "edge-watched")
        second = next(seen)

    assert first["products"] == []
    assert [(row["productId"], row["orders"]) for row in second["products"]] == [("edge-watched", "1")]


def test_a_stream_that_is_refused_is_a_plain_error(edge: Edge):
    answer = edge.call("GET", "/v1/queryTopProducts:watch?category=A b")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")


def test_a_watcher_who_hangs_up_ends_the_stream_on_the_worker(edge: Edge, shopper: Customer):
    order_id = edge.order(shopper, TV)["orderId"]
    trace_id = order_id.replace("-", "")
    with watching(edge, f"/v1/orders/{order_id}:watch", shopper, traceparent=f"00-{trace_id}-{'1' * 16}-01") as answer:
        next(events(answer))

    def ended() -> list[StoredSpan]:
        return [span for span in read_trace(edge.running.traces, trace_id) if span.name == WATCH and span.service == "orders"]

    [span] = edge.eventually(ended, bool)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
