"""Events as Pulsar messages: attributes are properties, the payload is the message's content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

import structlog
from pulsar import Message

from services.kit.events.port import Event
from services.kit.values import value

_log = structlog.get_logger(__name__)


@value
class Outgoing:
    """A message to be sent."""

    topic: str
    """Its full name."""
    event: Event
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    """Beyond the event's own attributes."""
    delay: timedelta | None = None
    """How long the broker keeps it back."""

    def all_properties(self) -> dict[str, str]:
        """The attributes of CloudEvents, ours, and what goes along."""
        event = self.event
        return {
            "id": event.id,
            "type": event.type,
            "source": event.source,
            "subject": event.subject,
            "time": event.occurred_at.isoformat(),
            "traceparent": event.traceparent,
            "aggregateversion": str(event.aggregate_version),
            "schemaversion": version_of(event.type),
            **self.properties,
        }


@value
class Incoming:
    """A message that came."""

    message: Message
    event: Event
    properties: Mapping[str, str]

    @property
    def attempts(self) -> int:
        """How often the event has failed."""
        return int(self.properties.get("attempts", "0"))


def events_in(messages: Sequence[Message], topic: str | None = None) -> list[Incoming]:
    """Reads messages, and leaves out what is no event: somebody else wrote it, and nobody here can ever do anything about it."""
    found: list[Incoming] = []
    for message in messages:
        try:
            found.append(incoming(message, topic))
        except ValueError as error:
            _log.error("this is no event", topic=message.topic_name(), message_id=str(message.message_id()), error=str(error))
    return found


def incoming(message: Message, topic: str | None = None) -> Incoming:
    """Reads a message of this topic, or of the one that it names itself.

    Raises:
        ValueError: it is no event.
    """
    properties = message.properties()
    try:
        event = Event(
            id=properties["id"],
            topic=topic or properties["topic"],
            key=message.partition_key(),
            type=properties["type"],
            subject=properties["subject"],
            aggregate_version=int(properties["aggregateversion"]),
            payload=message.data(),
            source=properties["source"],
            occurred_at=datetime.fromisoformat(properties["time"]),
            traceparent=properties["traceparent"],
        )
    except KeyError as error:
        raise ValueError(f"a message without {error}") from None
    return Incoming(message, event, properties)


def version_of(type_name: str) -> str:
    """The version of a type's package: `v1` of `bazaar.orders.v1.OrderPlaced`. Within one, payloads only ever gain fields."""
    return type_name.rpartition(".")[0].rpartition(".")[2]
