"""What becomes of MongoDB's documents, as a collection's change stream says it.

https://www.mongodb.com/docs/manual/changeStreams/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import Enum
from typing import Any

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from services.kit.mongo import Document
from services.kit.values import value

AWAIT_MS = 2_000
"""How long MongoDB waits for a change before it says that there is none."""

READ_AT_ONCE = 100
"""Documents of one answer: to decode 500 of them keeps everybody else from the loop for 20 ms."""

_LOST = "NonResumableChangeStreamError"
"""MongoDB's label of an error that ends a change stream for good."""

Token = Mapping[str, Any]
"""MongoDB's resume token: a place in the stream."""


class Kind(Enum):
    """What became of a document."""

    CREATED = "insert"
    CHANGED = "update"
    REPLACED = "replace"
    REMOVED = "delete"
    FOUND = "found"
    """Nothing: it was there when the place in the stream was lost."""


@value
class Change:
    """One change of one document."""

    kind: Kind
    id: str
    document: Document | None
    """As it was read: of an update it may be later than this change. None when it is removed, or was by then."""
    fields: frozenset[str] = frozenset()
    """The top-level fields that an update touched; empty for the other kinds."""
    at: datetime | None = None
    """To the second; None for one that was found."""


class StreamEnded(Exception):
    """The collection was dropped or renamed."""


def is_for_good(error: Exception) -> bool:
    """Whether a stream can't be taken up again at its place."""
    return isinstance(error, StreamEnded) or (isinstance(error, OperationFailure) and error.has_error_label(_LOST))


@asynccontextmanager
async def followed(collection: AsyncCollection[Document], place: Token) -> AsyncGenerator[Tail, None]:
    """The changes of a collection, whose ids are strings, after a place."""
    async with await _watch(collection, place) as stream:
        tail = Tail(stream, place)
        try:
            yield tail
        finally:
            await tail.close()


async def place_now(collection: AsyncCollection[Document]) -> Token:
    """The end of the stream: what is written after this call comes after it."""
    async with await _watch(collection, None) as stream:
        while stream.resume_token is None:
            await stream.try_next()
        return stream.resume_token


class Tail:
    """Reads a stream ahead: while its reader works, MongoDB's next answer is on its way."""

    def __init__(self, stream: AsyncChangeStream[Document], place: Token) -> None:
        self.place = place
        """After what was read last."""
        self._stream = stream
        self._reading: asyncio.Task[Document | None] | None = None

    async def next(self, *, wait: bool) -> Change | None:
        """The next change of a document.

        Args:
            wait: for MongoDB's answer. Otherwise only what it has sent by now is given.

        Returns:
            None when there is nothing more for now.

        Raises:
            StreamEnded: and nothing comes any more.
        """
        while raw := await self._next(wait):
            if change := _change(raw):
                return change
        return None

    async def close(self) -> None:
        if self._reading:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._reading

    async def _next(self, wait: bool) -> Document | None:
        if self._reading is None:
            if not self._stream.alive:
                raise StreamEnded
            self._reading = asyncio.create_task(self._stream.try_next())
        if wait:
            await asyncio.wait([self._reading])
        else:
            await asyncio.sleep(0)  # what has come already needs no more than this
        if not self._reading.done():
            return None
        raw = self._reading.result()
        self._reading = None
        self.place = raw["_id"] if raw else self._stream.resume_token or self.place
        return raw


async def _watch(collection: AsyncCollection[Document], place: Token | None) -> AsyncChangeStream[Document]:
    return await collection.watch(full_document="updateLookup", resume_after=place, batch_size=READ_AT_ONCE, max_await_time_ms=AWAIT_MS)


def _change(raw: Document) -> Change | None:
    """None for what befalls the collection as a whole."""
    if "documentKey" not in raw:
        return None
    return Change(
        kind=Kind(raw["operationType"]),
        id=raw["documentKey"]["_id"],
        document=raw.get("fullDocument"),
        fields=_touched(raw.get("updateDescription")),
        at=raw["clusterTime"].as_datetime(),
    )


def _touched(description: Document | None) -> frozenset[str]:
    if description is None:
        return frozenset()
    truncated = (array["field"] for array in description.get("truncatedArrays") or ())
    return frozenset(path.partition(".")[0] for path in (*description["updatedFields"], *description["removedFields"], *truncated))
