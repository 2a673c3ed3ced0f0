"""Carries the changes of a MongoDB collection into a service's outbox: each once, those of a document in their order.

MongoDB shares no transaction with PostgreSQL, so its change stream is the outbox, and the place up to which it was read commits together
with the events. Whoever leads next goes on from there; who was succeeded is refused by its epoch.

A place can be lost: there was none yet, or MongoDB's oplog has passed it. Then all documents are told of as they are, in pages, while
the stream is followed from a new place on, which can't be lost again meanwhile. Consumers tell by versions what is newer. What was
removed while the place was lost is told by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pymongo.asynchronous.collection import AsyncCollection

from services.kit.changes import READ_AT_ONCE, Change, Kind, StreamEnded, Tail, Token, followed, is_for_good, place_now
from services.kit.events.port import Event
from services.kit.leader import Lease, LeaseLost
from services.kit.mongo import Document
from services.kit.pacing import Pace
from services.kit.values import value

_MOST_EVENTS = 500
_MOST_BYTES = 4 * 1024 * 1024
"""Of the payloads in one transaction: a document may have a megabyte."""
_TURN_SECONDS = 0.05
_REMEMBER_SECONDS = 30.0
"""How often the place is kept while nothing happens here: the oplog moves on with what happens elsewhere."""
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_PAGES_A_LOG_LINE = 20

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@value
class Place:
    """How far a collection was carried."""

    token: Token
    """What comes after it in the stream is still to be told."""
    found_up_to: str | None = None
    """While all documents are told of: the id of the last one, empty at first."""


class Places(Protocol):
    """Where a service keeps its places, by the collections' names: in the database of its outbox and its leaders."""

    async def read(self, collection: str) -> Place | None: ...

    async def keep(self, lease: Lease, collection: str, place: Place, events: Sequence[Event]) -> None:
        """Keeps the place and appends the events, in one transaction that is fenced by the lease.

        Raises:
            LeaseLost: another process leads.
        """
        ...


@dataclass(slots=True)
class _Portion:
    """Events of one transaction."""

    events: list[Event] = field(default_factory=list[Event])
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.events) >= _MOST_EVENTS or self.bytes >= _MOST_BYTES


class ChangeStream:
    """Leader's work for one collection, whose ids are strings.

    Args:
        tell: the event of a change; None for one that nobody needs to hear of.
    """

    def __init__(self, collection: AsyncCollection[Document], places: Places, tell: Callable[[Change], Event | None]) -> None:
        self._collection = collection
        self._places = places
        self._tell = tell
        self._pause = _SHORTEST_PAUSE_SECONDS
        self._kept_at = 0.0

    async def run(self, lease: Lease) -> None:
        """Carries changes until cancelled. While a database is away it tries again, at least every 5 seconds.

        Raises:
            LeaseLost: another process leads by now.
        """
        is_lost = False
        while True:
            try:
                if is_lost:
                    await self._start_over(lease)
                    is_lost = False
                await self._follow(lease)
            except LeaseLost:
                raise
            except Exception as error:
                is_lost = is_lost or is_for_good(error)
                _log.exception("change stream broke", collection=self._collection.name, is_lost=is_lost)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _follow(self, lease: Lease) -> None:
        """Goes on from the place that was kept: after an error nobody knows which that is."""
        place = await self._places.read(self._collection.name) or await self._start_over(lease)
        async with followed(self._collection, place.token) as tail:
            pace, pages = Pace(_TURN_SECONDS), 0
            while True:
                await pace.turn()
                lease.check()
                place = await self._carry(lease, tail, place)
                if place.found_up_to is not None and (pages := pages + 1) % _PAGES_A_LOG_LINE == 0:
                    _log.info("telling of all documents", collection=self._collection.name, up_to=place.found_up_to)

    async def _start_over(self, lease: Lease) -> Place:
        _log.warning("no place in the change stream: all documents are told of", collection=self._collection.name)
        place = Place(await place_now(self._collection), found_up_to="")
        await self._keep(lease, place, [])
        return place

    async def _carry(self, lease: Lease, tail: Tail, place: Place) -> Place:
        """Carries one portion: what has changed, and the next page where all documents are told of; returns the place kept last."""
        portion, found_up_to = _Portion(), place.found_up_to
        await self._take_changes(tail, portion, wait=found_up_to is None)
        if found_up_to is not None:
            found_up_to = await self._take_page(portion, found_up_to)
        reached = Place(tail.place, found_up_to)
        if not portion.events and found_up_to == place.found_up_to and not self._is_old(place, reached):
            return place
        await self._keep(lease, reached, portion.events)
        return reached

    async def _take_changes(self, tail: Tail, portion: _Portion, *, wait: bool) -> None:
        """Adds what has come up to now, or waits for it."""
        try:
            while not portion.is_full and (change := await tail.next(wait=wait and not portion.events)):
                self._add(portion, change)
        except StreamEnded:
            if not portion.events:
                raise

    async def _take_page(self, portion: _Portion, after: str) -> str | None:
        """Adds documents by id; returns the last one's id, None after all."""
        count = 0
        found = self._collection.find({"_id": {"$gt": after}}, batch_size=READ_AT_ONCE).sort("_id", 1).limit(_MOST_EVENTS)
        async with found as documents:
            async for document in documents:
                self._add(portion, Change(Kind.FOUND, document["_id"], document))
                after, count = document["_id"], count + 1
                await asyncio.sleep(0)  # calls needn't wait for a whole page
                if portion.bytes >= _MOST_BYTES:
                    return after
        return after if count == _MOST_EVENTS else None

    def _add(self, portion: _Portion, change: Change) -> None:
        try:
            event = self._tell(change)
        except Exception:
            # Something that no writer of this collection writes. It mustn't hold up all the others.
            _log.exception("a change can't be told of", collection=self._collection.name, id=change.id)
            return
        if event:
            portion.events.append(event)
            portion.bytes += len(event.payload)

    def _is_old(self, kept: Place, reached: Place) -> bool:
        return kept.token != reached.token and asyncio.get_running_loop().time() - self._kept_at > _REMEMBER_SECONDS

    async def _keep(self, lease: Lease, place: Place, events: Sequence[Event]) -> None:
        await self._places.keep(lease, self._collection.name, place, events)
        self._kept_at = asyncio.get_running_loop().time()
        self._pause = _SHORTEST_PAUSE_SECONDS
