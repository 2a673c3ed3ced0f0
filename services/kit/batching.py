"""Coalescing: while one batch commits, the next collects all that arrives and goes as one.

One transaction then carries many callers, and nobody waits for a timer: an item that finds no batch in flight leaves with all that come in
the same round of the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar, cast

from opentelemetry import trace

from services.kit.errors import DeadlineExceeded, Overloaded, Unavailable
from services.kit.telemetry import tracing

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_PAUSE_SECONDS = 0.05


@dataclass(eq=False, slots=True)
class _Entry(Generic[Item, Outcome]):
    item: Item
    deadline: float | None
    outcome: asyncio.Future[Outcome]
    caller: trace.Span

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class Coalescer(Generic[Item, Outcome]):
    """Runs the work on batches, one at a time.

    Args:
        name: of few values; names the batch's span.
        work: decides every item, in the order given, and returns as many outcomes. What the rules refuse is an outcome, not an
            exception. It may be run again with items it has seen (after an exception, or a COMMIT whose answer was lost), so it must
            look up by key what is done already.
        max_batch: items in one batch.
        max_queue: items that wait for the next batches.
        key: names an item's request. Two items of one key never share a batch: the later one waits for the next, and finds the
            first one's work done.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        *,
        max_batch: int = 512,
        max_queue: int = 10_000,
        key: Callable[[Item], Hashable] | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._key = key
        self._waiting: deque[_Entry[Item, Outcome]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item, deadline: float | None = None) -> Outcome:
        """Hands an item to the next batch and waits for its outcome.

        A caller that is cancelled before its batch starts takes its item out; after that the batch decides it all the same.

        Args:
            deadline: in monotonic seconds; an item whose batch has not started by then is dropped.

        Raises:
            Overloaded: too many items wait.
            DeadlineExceeded: the item was dropped; nothing happened.
            Unavailable: the database went away, twice; whether the item was decided is not known.
            Exception: what the work raised for this item alone.
        """
        if len(self._waiting) >= self._max_queue:
            raise Overloaded(f"{self._name}: too many requests wait", retry_after=timedelta(seconds=1), queue=self._name)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        entry = _Entry(item, deadline, outcome, tracing.current())
        self._waiting.append(entry)
        if self._running is None:
            # In a context of its own: a batch belongs to no caller's trace, call or deadline.
            self._running = asyncio.create_task(self._run(), name=f"batch {self._name}", context=contextvars.Context())
        return await outcome

    async def _run(self) -> None:
        batch: list[_Entry[Item, Outcome]] = []
        try:
            while True:
                if not (batch := self._next_batch()):
                    return
                with self._span(batch):
                    await self._decide(batch)
                if not self._waiting:
                    return
        finally:
            self._running = None
            # Only a stopping process gets here with callers still waiting.
            _fail([*batch, *self._waiting], Unavailable, f"{self._name}: the process is stopping")
            self._waiting.clear()

    def _next_batch(self) -> list[_Entry[Item, Outcome]]:
        now = time.monotonic()
        batch: list[_Entry[Item, Outcome]] = []
        put_off: list[_Entry[Item, Outcome]] = []
        keys: set[Hashable] = set()
        while self._waiting and len(batch) < self._max_batch:
            entry = self._waiting.popleft()
            key = self._key(entry.item) if self._key else entry
            if entry.outcome.done():
                continue
            if entry.deadline is not None and entry.deadline <= now:
                entry.outcome.set_exception(DeadlineExceeded(f"{self._name}: the deadline passed before the work began"))
            elif key in keys:
                put_off.append(entry)
            else:
                keys.add(key)
                batch.append(entry)
        self._waiting.extendleft(reversed(put_off))
        return batch

    async def _decide(self, batch: list[_Entry[Item, Outcome]]) -> None:
        """Runs the batch, and after an exception its halves, down to the item that fails alone."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                outcomes = await self._work_through_outage([entry.item for entry in part])
            except Unavailable as error:
                # Not an item's fault: smaller parts would only wait longer.
                _fail([entry for rest in (part, *parts) for entry in rest], Unavailable, error.message)
                return
            except Exception as error:
                if len(part) == 1:
                    part[0].fail(error)
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
            else:
                self._answer(part, outcomes)

    def _answer(self, part: list[_Entry[Item, Outcome]], outcomes: Sequence[Outcome]) -> None:
        if len(outcomes) != len(part):
            _fail(part, RuntimeError, f"{self._name}: {len(outcomes)} outcomes came back for {len(part)} items")
            return
        for entry, outcome in zip(part, outcomes, strict=True):
            if not entry.outcome.done():
                entry.outcome.set_result(outcome)

    async def _work_through_outage(self, items: Sequence[Item]) -> Sequence[Outcome]:
        try:
            return await self._work(items)
        except Unavailable:
            # The connection may have been lost at COMMIT: the second run finds by key what the first one did.
            await asyncio.sleep(_PAUSE_SECONDS)
            return await self._work(items)

    def _span(self, batch: list[_Entry[Item, Outcome]]) -> AbstractContextManager[object]:
        callers = [entry.caller for entry in batch if isinstance(entry.caller, tracing.Span) and entry.caller.is_recording()]
        if not callers:
            return nullcontext()
        span = tracing.span(
            f"batch {self._name}",
            attributes={"bazaar.batch.size": len(batch)},
            links=[caller.get_span_context() for caller in callers],
            parent=tracing.ROOT,
            service=callers[0].service,
        )
        for caller in callers:
            caller.add_link(span.get_span_context())
        return cast("AbstractContextManager[object]", span)


def _fail(entries: Sequence[_Entry[Item, Outcome]], error: Callable[[str], Exception], message: str) -> None:
    """Each caller gets an exception of its own: raising one notes where in it."""
    for entry in entries:
        entry.fail(error(message))
