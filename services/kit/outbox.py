"""Events that commit together with the change they tell of; the relay publishes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from services.kit.clock import system_clock
from services.kit.database import Connection
from services.kit.events.port import Event
from services.kit.ids import uuid7
from services.kit.telemetry import tracing

# One JSON parameter: psycopg builds array parameters in Python, which cost more than all the rest.
_APPEND = """
INSERT INTO outbox (event_id, topic, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent)
SELECT id, topic, key, type, subject, aggregate_version, decode(payload, 'base64'), source, occurred_at, traceparent
FROM json_to_recordset(%s::json) AS event (
    id uuid, topic text, key text, type text, subject text, aggregate_version bigint, payload text, source text, occurred_at timestamptz,
    traceparent text)
"""


def event(*, topic: str, key: str, subject: str, aggregate_version: int, message: Message, occurred_at: datetime | None = None) -> Event:
    """A new event with an id, a time and the running span's trace context.

    Its source is the noun of the message's package: `bazaar.orders.v1` gives "orders".

    Args:
        key: events of one key stay in order.
        subject: id of the aggregate that changed.
        aggregate_version: the aggregate's version after the change.
        message: the topic's wrapper; the member set in its oneof is the event's type.
        occurred_at: now when None.

    Raises:
        ValueError: no member of the wrapper is set.
    """
    member = message.WhichOneof(_oneof_of(message.DESCRIPTOR))
    happened = message.DESCRIPTOR.fields_by_name[member].message_type if member else None
    if happened is None:
        raise ValueError(f"An event of {topic} says nothing: no member of {message.DESCRIPTOR.full_name} is set.")
    return Event(
        id=uuid7(),
        topic=topic,
        key=key,
        type=happened.full_name,
        subject=subject,
        aggregate_version=aggregate_version,
        payload=message.SerializeToString(),
        source=message.DESCRIPTOR.full_name.split(".")[1],
        occurred_at=occurred_at or system_clock(),
        traceparent=tracing.current_traceparent(),
    )


def append(tx: Connection, events: Sequence[Event]) -> None:
    """Keeps events for the relay, in one statement that goes with the next one or the COMMIT.

    Lock the aggregate's row before: then events of one aggregate are published in the order of its changes.
    """
    if not events:
        return
    tx.defer(_APPEND, [orjson.dumps(events, default=_base64).decode()])
    tx.has_outbox_rows = True


def _base64(payload: Any) -> str:
    """What JSON has no form for: bytes."""
    return base64.b64encode(payload).decode()


@lru_cache(maxsize=256)
def _oneof_of(wrapper: Descriptor) -> str:
    if len(wrapper.oneofs) != 1:
        raise ValueError(f"{wrapper.full_name} is not an event wrapper: it should have one oneof.")
    return wrapper.oneofs[0].name
