"""Brings copies of the index up to date with the truth, and has the wanted one answer."""

from __future__ import annotations

import asyncio

import structlog

from services.kit.errors import Unavailable
from services.kit.leader import Lease
from services.search.index import ProductIndex, copy_of
from services.search.store import SearchStore

TURN_SECONDS = 0.5
_AT_ONCE = 1000
_LOOKED_AT_EVERY = 20
"""Turns: an index that others share may have been lost, or set back, unnoticed."""

_log = structlog.get_logger("bazaar.search")


class Feeder:
    """Feeds an index for ever: in every process its own, or in one process for all the one they share."""

    def __init__(self, store: SearchStore, index: ProductIndex) -> None:
        self._store = store
        self._index = index
        self._copy = ""
        """That answers, and was fed up to `_position`; empty before that is known."""
        self._position = 0
        self._turns = 0

    async def follow(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._try()
            await asyncio.sleep(TURN_SECONDS)

    async def lead(self, lease: Lease) -> None:
        """As `follow`, for as long as this process leads."""
        self._copy = ""
        while True:
            lease.check()
            await self._try()
            await asyncio.sleep(TURN_SECONDS)

    async def turn(self) -> None:
        """Brings the index to where the truth is now.

        Raises:
            Unavailable: the index or the database is away; nothing is lost by that.
        """
        wanted, last = await self._store.state()
        copy = copy_of(wanted)
        self._turns += 1
        if copy != self._copy or (self._index.is_shared and self._turns % _LOOKED_AT_EVERY == 0):
            await self._find(copy, last)
        elif last == self._position:
            return
        self._position = await self._feed(copy, self._position)

    async def _try(self) -> None:
        try:
            await self.turn()
        except Unavailable as error:
            self._copy = ""
            _log.warning("the index isn't fed", why=error.message)

    async def _find(self, copy: str, last: int) -> None:
        """Learns how far a copy was fed, and has it answer.

        Raises:
            Unavailable: it is ahead of the truth, which must have been set back, by a backup perhaps: another copy takes its place.
        """
        self._position = await self._index.position(copy)
        if self._position > last:
            await self._store.want_new_copy()
            raise Unavailable(f"copy {copy} is ahead of what is known")
        if await self._index.live() != copy:
            await self._build(copy)
        self._copy = copy

    async def _build(self, copy: str) -> None:
        """Fills a copy beside the one that answers; flips to it when it holds exactly what is on sale.

        Raises:
            Unavailable: it holds something else, filled from the beginning too.
        """
        count = shown = 0
        for start in (self._position, 0):
            await self._index.put(copy, [], start)
            shown = await self._catch_up(copy, start)
            if (count := await self._index.count(copy)) == shown:
                await self._index.flip(copy)
                _log.info("another copy of the index answers", copy=copy, products=count)
                return
        raise Unavailable(f"copy {copy} has {count} products of {shown}")

    async def _catch_up(self, copy: str, position: int) -> int:
        """Feeds a copy until nothing is missing; returns how many products it should hold."""
        shown, last = 0, -1
        while last != position:
            position = await self._feed(copy, position)
            shown, last = await self._store.shown()
        self._position = position
        return shown

    async def _feed(self, copy: str, position: int) -> int:
        """Puts what was changed after a position; returns the position that the copy is at then."""
        while True:
            _, last = await self._store.state()
            changes = await self._store.changed(position, _AT_ONCE)
            is_all = len(changes) < _AT_ONCE
            reached = max(position, last) if is_all else changes[-1].position
            if changes or reached > position:
                await self._index.put(copy, changes, reached)
            position = reached
            if is_all:
                return position
