"""When a stream of responses has begun: from then on a caller over HTTP sees no status, only what comes in the stream."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_has_begun: ContextVar[bool] = ContextVar("bazaar_stream_has_begun", default=False)


def has_begun() -> bool:
    """Whether the caller of the current call has got its headers."""
    return _has_begun.get()


def note_begun() -> None:
    """The first message has gone, and the headers before it."""
    _has_begun.set(True)


async def begin(context: Any) -> None:
    """Lets the caller know that the stream is open, when there may be nothing to send for long; once is enough, twice does no harm."""
    if not _has_begun.get():
        await context.send_initial_metadata(())
        _has_begun.set(True)
