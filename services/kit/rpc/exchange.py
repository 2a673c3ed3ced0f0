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

    A single message is an attribute: only streams need pipes.

    Args:
        timeout: seconds until the call fails with DEADLINE_EXCEEDED; None: never.
        request: the only request, serialised; None when they come through `requests`.
        responses: None for a call with one response, which is left in `response`.
    """

    response: bytes | None = None
    initial_metadata: tuple[Metadatum, ...] | None = None
    """None as long as they can still be sent."""
    code: grpc.StatusCode | None = None
    details = ""
    trailing_metadata: tuple[Metadatum, ...] = ()
    is_cancelled_by_caller = False
    task: asyncio.Task[None] | None = None
    _feeder: asyncio.Task[None] | None = None
    _clock: asyncio.TimerHandle | None = None

    def __init__(
        self,
        path: str,
        handler: grpc.RpcMethodHandler[Any, Any],
        timeout: float | None,
        metadata: tuple[Metadatum, ...],
        request: bytes | None,
        requests: Pipe | None,
        responses: Pipe | None,
    ) -> None:
        self.path = path
        self.handler = handler
        self.metadata = metadata
        self.request = request
        self.requests = requests
        self.responses = responses
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[Exchange], None]] = []

    def run(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts the handler's end, in a task and a context of its own."""
        loop = asyncio.get_running_loop()
        if self._timeout is not None:
            if self._timeout <= 0:
                self._expire()
                return
            self._clock = loop.call_later(self._timeout, self._expire)
        if self.request is not None and len(self.request) > MAX_MESSAGE_BYTES:
            self.refuse_size("SERVER", len(self.request))
            return
        # Not loop.create_task: uvloop's costs twice as much.
        self.task = asyncio.Task(serve(), loop=loop, context=contextvars.Context())

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def feed(self, requests: AsyncIterator[bytes], pipe: Pipe) -> None:
        """Sends the caller's requests through the pipe as there is room for them."""
        self._feeder = asyncio.get_running_loop().create_task(self._feed(requests, pipe))

    def start(self, metadata: tuple[Metadatum, ...]) -> None:
        """The server's initial metadata are out."""
        if self.initial_metadata is None:
            self.initial_metadata = metadata
            self._wake()

    def finish(self, code: grpc.StatusCode, details: str = "", trailing_metadata: tuple[Metadatum, ...] = ()) -> None:
        """Ends the call, once; responses on their way are still read."""
        if self.code is not None:
            return
        if self.initial_metadata is None:
            self.initial_metadata = ()
        self.code, self.details, self.trailing_metadata = code, details, trailing_metadata
        self._close()
        self._wake()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    async def until_started(self) -> None:
        """Waits for the initial metadata."""
        while self.initial_metadata is None:
            await self.change()

    async def until_ended(self) -> None:
        """Waits for the status."""
        while self.code is None:
            await self.change()

    def change(self) -> asyncio.Future[None]:
        """Resolves when initial metadata or the status have come; each for one waiter, who may cancel it."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def abandon(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call without its handler, which is cancelled."""
        if self.code is not None:
            return
        if self.responses:
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

    def on_end(self, callback: Callable[[Exchange], None]) -> None:
        """Calls back when the call has ended; at once when it has."""
        if self.code is None:
            self._callbacks.append(callback)
        else:
            callback(self)

    def refuse_size(self, side: str, size: int) -> None:
        """Ends the call for a message over the limit."""
        details = f"{side}: Received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})"
        self.abandon(grpc.StatusCode.RESOURCE_EXHAUSTED, details)

    async def receive(self, requests: Pipe) -> bytes | None:
        """The next request's bytes; None after the last. Ends the call when they are over the limit."""
        data = await requests.get()
        if data is not None and len(data) > MAX_MESSAGE_BYTES:
            self.refuse_size("SERVER", len(data))
            raise asyncio.CancelledError
        return data

    def _close(self) -> None:
        if self._clock:
            self._clock.cancel()
        if self.requests:
            self.requests.cut()
        if self.responses:
            self.responses.close()
        if self._feeder:
            self._feeder.cancel()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _expire(self) -> None:
        self.abandon(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    async def _feed(self, requests: AsyncIterator[bytes], pipe: Pipe) -> None:
        try:
            async for request in requests:
                if not await pipe.put(request):
                    return
            pipe.close()
        except Exception as error:
            _log.warning("a caller's stream of requests failed", method=self.path, exc_info=error)
            self.cancel()
