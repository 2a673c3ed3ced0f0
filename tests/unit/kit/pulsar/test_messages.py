"""Events as messages, and the lanes of their keys."""

from collections import Counter
from datetime import UTC, datetime

from services.kit.events.port import Event
from services.kit.events.pulsar.messages import Outgoing, version_of
from services.kit.events.pulsar.publisher import lane_of
from services.kit.events.pulsar.retries import retried_by, retry_topic


def test_an_events_attributes_go_as_properties():
    event = Event(
        id="e1",
        topic="orders",
        key="o1",
        type="bazaar.orders.v1.OrderPlaced",
        subject="o1",
        aggregate_version=3,
        payload=b"x",
        source="orders",
        occurred_at=datetime(2025, 2, 3, 4, 5, 6, 7, UTC),
        traceparent="00-aa-bb-01",
    )

    assert Outgoing("orders", event, {"attempts": "2"}).all_properties() == {
        "id": "e1",
        "type": "bazaar.orders.v1.OrderPlaced",
        "source": "orders",
        "subject": "o1",
        "time": "2025-02-03T04:05:06.000007+00:00",
        "traceparent": "00-aa-bb-01",
        "aggregateversion": "3",
        "schemaversion": "v1",
        "attempts": "2",
    }


def test_a_types_version_is_that_of_its_package():
    assert version_of("bazaar.orders.v2.OrderPlaced") == "v2"


def test_a_key_has_its_lane_for_ever():
    assert [lane_of(key, 64) for key in ("order-1", "order-2", "tv")] == [47, 21, 4]


def test_keys_are_spread_over_the_lanes():
    lanes = Counter(lane_of(f"order-{number}", 64) for number in range(6400))

    assert len(lanes) == 64
    assert max(lanes.values()) < 200


def test_a_retry_topic_names_the_topic_and_the_group():
    assert retry_topic("order-lines", "ranking") == "order-lines.ranking.retry"


def test_a_retry_topic_is_told_from_others():
    assert retried_by("order-lines.ranking.retry", "ranking") == "order-lines"
    assert retried_by("order-lines", "ranking") is None
