"""Server-sent events at the edge: they come as they happen, go on where a cut connection ended, and say that and why they end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.kit.telemetry.store import StoredSpan, read_trace
from tests.flow.edge.client import Customer, Edge, refusal
from tests.flow.edge.conftest import TV
from tests.flow.edge.contract import event_faults
from tools.home import ProcessState

pytestmark = pytest.mark.edge
WATCH = "bazaar.orders.v1.OrdersService/WatchOrder"


@dataclass(frozen=True)
class Event:
    """One event, as a browser reads it."""

    id: str | None
    data: dict[str, Any]

    @property
    def version(self) -> int:
        return int(self.data["order"]["version"])


def events(path: str, answer: httpx.Response) -> Iterator[Event]:
    """What a stream sends, as it comes."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif fields:
            event = Event(fields.pop("id", None), json.loads(fields.pop("data")))
            assert (fields, event_faults(path, event.data)) == ({}, [])
            yield event


@contextmanager
def watching(edge: Edge, path: str, user: Customer | None = None, **headers: str) -> Iterator[Iterator[Event]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if user:
        sent["authorization"] = f"Bearer {user.token}"
    with edge.http.stream("GET", path, headers=sent, timeout=httpx.Timeout(10)) as answer:
        yield events(path, answer)


def test_a_watcher_sees_an_order_as_it_is_and_then_each_change(edge: Edge, shopper: Customer):
    order_id = edge.order(shopper, TV)["orderId"]
    with watching(edge, f"/v1/orders/{order_id}:watch", shopper) as seen:
        first = next(seen)
        edge.ok("POST", f"/v1/orders/{order_id}:cancel", {}, user=shopper)
        rest = list(seen)

    assert (first.data["order"]["state"], first.data["isLast"]) == ("CONFIRMED", False)
    assert (rest[-1].data["order"]["state"], rest[-1].data["isLast"]) == ("CANCELLED", True)


def test_an_event_has_its_messages_id(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)
    with watching(edge, f"/v1/orders/{order['orderId']}:watch", shopper) as seen:
        event = next(seen)

    assert event.id == event.data["eventId"] == order["version"]


def test_a_watcher_resumes_after_a_version(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)
    edge.ok("POST", f"/v1/orders/{order['orderId']}:cancel", {}, user=shopper)
    with watching(edge, f"/v1/orders/{order['orderId']}:watch?afterVersion={order['version']}", shopper) as seen:
        versions = [event.version for event in seen]

    assert min(versions) > int(order["version"])


def test_a_cut_connection_misses_no_change_and_repeats_none(edge: Edge, shopper: Customer):
    path = f"/v1/orders/{(order_id := edge.order(shopper, TV)['orderId'])}:watch"
    with watching(edge, path, shopper) as seen:
        before = [next(seen)]
    edge.ok("POST", f"/v1/orders/{order_id}:cancel", {}, user=shopper)
    with watching(edge, path, shopper, last_event_id=before[-1].id or "") as seen:
        after = list(seen)

    versions = [event.version for event in before + after]
    assert versions == sorted(set(versions))
    assert after[-1].data["order"] == edge.ok("GET", f"/v1/orders/{order_id}", user=shopper)["order"]


def test_who_has_all_that_there_is_hears_of_the_next_change_alone(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)
    path = f"/v1/orders/{order['orderId']}:watch"
    with watching(edge, f"{path}?lastEventId=1", shopper, last_event_id=order["version"]) as seen:
        edge.ok("POST", f"/v1/orders/{order['orderId']}:cancel", {}, user=shopper)
        states = [event.data["order"]["state"] for event in seen]

    assert "CONFIRMED" not in states
    assert states[-1] == "CANCELLED"


def test_who_has_seen_the_end_is_told_that_it_was_the_end(edge: Edge, shopper: Customer):
    path = f"/v1/orders/{(order_id := edge.order(shopper, TV)['orderId'])}:watch"
    edge.ok("POST", f"/v1/orders/{order_id}:cancel", {}, user=shopper)
    with watching(edge, path, shopper) as seen:
        *_, last = seen
    with watching(edge, path, shopper, last_event_id=last.id or "") as seen:
        [again] = seen

    assert (last.data["isLast"], again.data) == (True, {"isLast": True, "eventId": last.id})


def test_an_id_that_is_none_is_refused(edge: Edge, shopper: Customer):
    path = f"/v1/orders/{edge.order(shopper, TV)['orderId']}:watch"

    assert refusal(edge.call("GET", path, user=shopper, headers={"last-event-id": "x"})) == (400, "VALIDATION_FAILED")


def test_a_watcher_of_a_top_list_sees_an_order_once(edge: Edge, shopper: Customer):
    edge.stock({"productId": "edge-watched", "title": "Watched", "categoryPath": ["Edge watched"]})
    path = "/v1/queryTopProducts:watch?category=edge-watched"
    with watching(edge, path) as seen:
        first = next(seen)
        edge.order(shopper, "edge-watched")
        second = next(seen)
    with watching(edge, path, last_event_id=second.id or "") as seen:
        edge.order(shopper, "edge-watched")
        third = next(seen)

    assert first.data["products"] == []
    counts = [[(row["productId"], row["orders"]) for row in event.data["products"]] for event in (second, third)]
    assert counts == [[("edge-watched", "1")], [("edge-watched", "2")]]


def workers(edge: Edge) -> list[ProcessState]:
    """Those that are ready."""
    state = edge.running.home.read_state()
    assert state is not None
    return [process for process in state.processes if process.role == "worker" and process.state == "ready"]


def replace(edge: Edge, worker: ProcessState) -> None:
    """Has a worker end, and waits for its successor."""
    os.kill(worker.identity.pid, signal.SIGTERM)
    edge.eventually(lambda: workers(edge), lambda now: len(now) == 2 and worker.identity not in {each.identity for each in now}, seconds=60)


def test_a_worker_that_goes_says_so_in_its_streams(edge: Edge):
    path = "/v1/queryTopProducts:watch?category=edge-tests"
    with watching(edge, path) as one, watching(edge, path) as other:
        seen = [next(one), next(other)]
        for worker in workers(edge):
            replace(edge, worker)
        endings = [*one, *other]

    assert len({event.id for event in seen}) == 1
    errors = [(event.id, event.data["error"]["code"], event.data["error"]["details"][0]["reason"]) for event in endings]
    assert errors == [(None, 14, "UNAVAILABLE")] * 2


def test_a_stream_that_is_refused_is_a_plain_error(edge: Edge):
    answer = edge.call("GET", "/v1/queryTopProducts:watch?category=A b")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")


def test_a_watcher_who_hangs_up_ends_the_stream_on_the_worker(edge: Edge, shopper: Customer):
    order_id = edge.order(shopper, TV)["orderId"]
    trace_id = order_id.replace("-", "")
    with watching(edge, f"/v1/orders/{order_id}:watch", shopper, traceparent=f"00-{trace_id}-{'1' * 16}-01") as seen:
        next(seen)

    def ended() -> list[StoredSpan]:
        return [span for span in read_trace(edge.running.traces, trace_id) if span.name == WATCH and span.service == "orders"]

    [span] = edge.eventually(ended, bool)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
