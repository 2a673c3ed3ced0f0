"""One call between two tasks of one process: what both ends share."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import structlog

from services.kit.rpc.pipes import Pipe
from services.kit.rpc.server import MAX_MESSAGE_BYTES

Serialize = Callable[[Any], bytes]
Metadatum = tuple[str, str | bytes]

_log = structlog.get_logger("bazaar.rpc")


class Exchange:
    """A call from its start to its one final status, whichever end brings that about.

    Args:
        timeout: seconds until the call fails with DEADLINE_EXCEEDED; None: never.
    """

    def __init__(self, path: str, handler: grpc.RpcMethodHandler[Any, Any], timeout: float | None, metadata: tuple[Metadatum, ...]) -> None:
        self.path = path
        self.handler = handler
        self.metadata = metadata
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.requests = Pipe()
        self.responses = Pipe()
        self.initial_metadata: tuple[Metadatum, ...] | None = None
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.trailing_metadata: tuple[Metadatum, ...] = ()
        self.is_cancelled_by_caller = False
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self.started = asyncio.Event()
        """Set when the initial metadata are known."""

        self._feeder: asyncio.Task[None] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._callbacks: list[Callable[[], None]] = []

    def run(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts the handler's end, in a task and a context of its own."""
        loop = asyncio.get_running_loop()
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                self._expire()
                return
            self._clock = loop.call_later(left, self._expire)
        self.task = loop.create_task(self._serve(serve), context=contextvars.Context())

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def feed(self, requests: AsyncIterator[bytes]) -> None:
        """Sends the caller's requests as there is room for them."""
        self._feeder = asyncio.get_running_loop().create_task(self._feed(requests))

    def start(self, metadata: tuple[Metadatum, ...]) -> None:
        """The server's initial metadata are out."""
        if self.initial_metadata is None:
            self.initial_metadata = metadata
            self.started.set()

    def finish(self, code: grpc.StatusCode, details: str = "", trailing_metadata: tuple[Metadatum, ...] = ()) -> None:
        """Ends the call, once; responses on their way are still read."""
        if self.code is not None:
            return
        self.start(())
        self.code, self.details, self.trailing_metadata = code, details, trailing_metadata
        self.requests.cut()
        self.responses.close()
        if self._clock:
            self._clock.cancel()
        if self._feeder:
            self._feeder.cancel()
        self.ended.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def abandon(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call without its handler, which is cancelled."""
        if self.code is not None:
            return
        self.responses.cut()
        self.finish(code, details)
        if self.task:
            self.task.cancel()

    def cancel(self) -> bool:
        """The caller gives up; False when the call had ended."""
        if self.code is not None:
            return False
        self.is_cancelled_by_caller = True
        self.abandon(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
        return True

    def on_end(self, callback: Callable[[], None]) -> None:
        """Calls back when the call has ended; at once when it has."""
        if self.code is None:
            self._callbacks.append(callback)
        else:
            callback()

    def refuse_size(self, side: str, size: int) -> None:
        """Ends the call for a message over the limit."""
        details = f"{side}: Received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})"
        self.abandon(grpc.StatusCode.RESOURCE_EXHAUSTED, details)

    async def receive(self) -> bytes | None:
        """The next request's bytes; None after the last. Ends the call when they are over the limit."""
        data = await self.requests.get()
        if data is not None and len(data) > MAX_MESSAGE_BYTES:
            self.refuse_size("SERVER", len(data))
            raise asyncio.CancelledError
        return data

    def _expire(self) -> None:
        self.abandon(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    async def _feed(self, requests: AsyncIterator[bytes]) -> None:
        try:
            async for request in requests:
                if not await self.requests.put(request):
                    return
            self.requests.close()
        except Exception as error:
            _log.warning("a caller's stream of requests failed", method=self.path, exc_info=error)
            self.cancel()

    async def _serve(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await serve()
        except grpc.aio.AbortError:
            pass  # It has sent its status.
        except asyncio.CancelledError:
            self.finish(grpc.StatusCode.CANCELLED, "The handler was cancelled.")
        except Exception as error:
            _log.error("a handler failed outside of its pipeline", method=self.path, exc_info=error)
            self.finish(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error).__name__}")
