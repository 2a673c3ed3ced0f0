"""The catalogue's change capture on real databases, and leaders that die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from time import monotonic
from typing import Any

from bazaar.catalog.v1 import events_pb2
from services.catalog.events import told_of_category, told_of_product
from services.catalog.places import PlaceStore
from services.kit.change_stream import ChangeStream
from services.kit.database import Database
from services.kit.leader import Lease, LeaseLost
from tests.shop import eventually
from tests.unit.catalog.sample import Stores

_ELECT = """
INSERT INTO leaders (name, epoch) VALUES ('catalog', 1) ON CONFLICT (name) DO UPDATE SET epoch = leaders.epoch + 1 RETURNING epoch
"""
Told = tuple[str, str, int]
"""Type, key and version of an event."""


def created(product_id: str) -> Told:
    return "ProductCreated", product_id, 1


def changed(product_id: str, version: int) -> Told:
    return "ProductChanged", product_id, version


def removed(product_id: str) -> Told:
    return "ProductRemoved", product_id, 2**63 - 1


class Capture:
    """What is captured of a catalogue into an outbox."""

    def __init__(self, stores: Stores, database: Database) -> None:
        self.stores = stores
        self.database = database
        self.places = PlaceStore(database)
        self.tell = told_of_product

    def stream(self, collection: str = "products") -> ChangeStream:
        tell = told_of_product if collection == "products" else told_of_category
        return ChangeStream(self.stores.database[collection], self.places, tell)

    async def elect(self) -> Lease:
        """The next epoch's lease, as `lead` would give it."""
        async with self.database.connection() as connection:
            row = await (await connection.execute(_ELECT)).fetchone()
        assert row
        lease = Lease("catalog", row["epoch"])
        lease.renew(monotonic() + 60)
        return lease

    @asynccontextmanager
    async def running(self, collection: str = "products") -> AsyncGenerator[None]:
        """A leader at work until the block ends."""
        lease = await self.elect()
        task = asyncio.create_task(self.stream(collection).run(lease))
        try:
            yield
        finally:
            # As `lead` does it: MongoDB's client may forget that it was cancelled.
            lease.end()
            task.cancel()
            with suppress(asyncio.CancelledError, LeaseLost):
                await task

    async def follow(self) -> None:
        """Lets a leader begin and end, so that what is written from now on is a change."""
        async with self.running():
            await eventually(self.is_following, True)

    async def is_following(self, collection: str = "products") -> bool:
        """Whether all is told that was there, and what comes from now on is a change."""
        place = await self.places.read(collection)
        return place is not None and place.found_up_to is None

    async def told(self) -> list[Told]:
        """The events in the outbox, in the order of their ids."""
        async with self.database.connection() as connection:
            rows = await (await connection.execute("SELECT type, key, aggregate_version FROM outbox ORDER BY id")).fetchall()
        return [(row["type"].rpartition(".")[2], row["key"], row["aggregate_version"]) for row in rows]

    async def count(self) -> int:
        """How many events are in the outbox."""
        async with self.database.connection() as connection:
            row = await (await connection.execute("SELECT count(*) AS count FROM outbox")).fetchone()
        assert row
        return row["count"]

    async def messages(self) -> list[events_pb2.CatalogEvent]:
        async with self.database.connection() as connection:
            rows = await (await connection.execute("SELECT payload FROM outbox ORDER BY id")).fetchall()
        return [events_pb2.CatalogEvent.FromString(row["payload"]) for row in rows]


class Mortal:
    """A leader that loses its lease and is cancelled when it waits for the nth time: what it waits for may happen or not.

    Args:
        breaths: that n.
    """

    def __init__(self, work: Coroutine[Any, Any, None], lease: Lease, breaths: int) -> None:
        self._work = work
        self._lease = lease
        self._breaths = breaths

    async def live(self) -> None:
        with suppress(LeaseLost):
            await self

    def __await__(self) -> Generator[Any, Any, None]:
        work = self._work.__await__()
        step: Callable[[], Any] = partial(work.send, None)
        for breath in count(1):
            try:
                awaited = step()
            except StopIteration:
                return
            if breath == self._breaths:
                self._die()
            try:
                yield awaited
                step = partial(work.send, None)
            except BaseException as error:
                step = partial(work.throw, error)

    def _die(self) -> None:
        task = asyncio.current_task()
        assert task
        self._lease.end()
        task.cancel()
