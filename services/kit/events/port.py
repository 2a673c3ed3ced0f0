"""What every event bus of Bazaar does, whichever engine is under it.

Delivery is at least once: a handler does its work and notes the events' ids (kit.inbox) in one transaction, and only then are they acked.
The contract is `tests/contract/test_event_bus.py`; every adapter passes it.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from google.protobuf.descriptor import Descriptor

from services.kit.values import value

REPLAY_AGE = timedelta(days=14)
"""How long the inbox remembers an event; a replay of an older one could do its work twice."""

RETRY_DELAYS = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""Waits before each new attempt at an event that failed; it is dead after the last."""


LONGEST_DELAY = timedelta(minutes=15)
"""Whatever is to wait longer is a row with its due time, in the service that it belongs to (kit.timers)."""


PATIENT = timedelta(milliseconds=250)
"""Patience of those whom no caller waits for."""


class Delivery(Enum):
    """How the members of a group share a topic."""

    KEYED = "keyed"
    """Each key goes to one consumer at a time, in order until the first failure."""
    SHARED = "shared"
    """Any consumer of the group may get any event, in any order."""
    BROADCAST = "broadcast"
    """Every process gets every event published after it began to listen. Nothing is stored: a failed event is logged and passed over."""


@value
class Event:
    """A fact that one service published; its attributes are those of CloudEvents."""

    id: str
    """A UUIDv7; consumers forget repeats by it."""
    topic: str
    key: str
    """Events of one key are in order."""
    type: str
    """Full proto name of what happened, such as `bazaar.orders.v1.OrderPlaced`."""
    subject: str
    """Id of the aggregate that changed."""
    aggregate_version: int
    """Decides which of two events of a subject is newer, when a redelivery brings them out of order."""
    payload: bytes
    """The topic's wrapper message, serialised."""
    source: str
    """The service that published it."""
    occurred_at: datetime
    traceparent: str
    """W3C trace context of the change; empty when it was not traced."""


Handler = Callable[[Sequence[Event]], Awaitable[None]]
"""Gets events of one topic, those of one key in order; all of them failed when it raises."""


@value
class Topic:
    """A named log of events."""

    name: str
    partitions: int = 8
    """How many consumers a keyed group can have at work; fixed once the topic is declared, because it decides where a key lives."""
    retention: timedelta = timedelta(days=7)
    """How long an event can be read, at least."""
    payload: Descriptor | None = None
    """The wrapper message of its events, for engines that keep a register of schemas."""


@value
class Subscription:
    """A group's interest in a topic. A group that is new begins with the oldest event kept; a broadcast has no group to remember it."""

    topic: str
    group: str
    handle: Handler
    delivery: Delivery = Delivery.KEYED
    batch_size: int = 500
    """The most events in one call of `handle`."""
    types: frozenset[str] = frozenset()
    """The types that the handler wants, by their full proto names; the others are acked for it. Empty: every type."""
    patience: timedelta = timedelta(milliseconds=20)
    """How long an event may wait for others while there is a steady stream of them: those of one call share what it costs."""
    is_heard: Callable[[], bool] = lambda: True
    """Whether anybody in this process listens to a broadcast. What is published while nobody does needn't be read."""

    def wants(self, event: Event) -> bool:
        """Whether the event is one for the handler."""
        return not self.types or event.type in self.types


@value
class DeadLetter:
    """An event that a group gave up on."""

    id: str
    """Names this failure to `replay`; not the event's id, for several groups may fail on one event."""
    group: str
    event: Event
    error: str
    """Text of the last error."""
    attempts: int
    died_at: datetime


@value
class Backlog:
    """What a group has still to do in one partition, in events."""

    group: str
    topic: str
    partition: int
    waiting: int
    """Published and not acked."""
    retrying: int
    """Failed, and due to be tried again."""


class UndeclaredTopic(LookupError):
    """An event was published to a topic that nobody declared."""


class TopicChanged(ValueError):
    """A topic is declared with another number of partitions than it has."""


class ReplayTooOld(ValueError):
    """The inbox may have forgotten these events, so a replay could do their work twice."""


def refuse_older(time: datetime, now: datetime) -> None:
    """Says no to a time from which on the inbox may have forgotten what was done.

    Raises:
        ReplayTooOld: it is over 14 days ago.
    """
    if time < now - REPLAY_AGE:
        raise ReplayTooOld(f"{time:%Y-%m-%d %H:%M} is over {REPLAY_AGE.days} days ago, so work could be done twice.")


class EventBus(Protocol):
    """A durable, partitioned log with consumer groups. Usable by any number of tasks of one event loop."""

    async def open(self) -> None:
        """Connects; to be called once, before anything else."""
        ...

    async def close(self) -> None:
        """Gives back what this process holds. Every `consume` is to be cancelled and awaited before."""
        ...

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Makes sure that the topics exist.

        Raises:
            TopicChanged: one exists with another number of partitions.
        """
        ...

    async def publish(self, events: Sequence[Event]) -> None:
        """Appends events durably; those of one key keep their order. They may belong to several topics.

        When it fails, none was published, or (where an engine knows no transactions over partitions) some: publish them all again.

        Raises:
            UndeclaredTopic: none of the events is published then.
        """
        ...

    async def consume(self, subscription: Subscription) -> None:
        """Runs until cancelled: hands batches to the subscription's handler and acks them.

        A failing batch is halved down to the events that fail alone; these are tried again later and dead-lettered in the end, while the
        rest goes on. When the handler says that a dependency is away (Unavailable, ConnectionError, a call's UNAVAILABLE), the whole batch
        waits instead. A cancelled handler counts as a crash: its events come again, here or elsewhere. One call a process for each topic
        and group.
        """
        ...

    async def dead_letters(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Of one group or all, the oldest first."""
        ...

    async def replay(self, ids: Sequence[str] | None = None, *, group: str | None = None, force: bool = False) -> int:
        """Gives dead letters (by their ids, or all) back to their groups as if they were new; returns how many.

        Raises:
            ReplayTooOld: one of them occurred over 14 days ago, and `force` is not set; none is replayed then.
        """
        ...

    async def rewind(self, topic: str, group: str, to: datetime) -> None:
        """Sets a group back to what was published at a time and after it, as far as the topic keeps it. Its consumers may be at work.

        Raises:
            ReplayTooOld: that is over 14 days ago.
        """
        ...

    async def depth(self, group: str | None = None) -> list[Backlog]:
        """Backlog of one group or all, for each partition."""
        ...
