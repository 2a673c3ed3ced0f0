"""Tells the watchers in this process that an order has changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.kit.events.port import Event


class Watchers:
    """Wakes whoever waits for an order. A wake-up says only that there is something to read."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def are_there(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    @contextmanager
    def watch(self, order_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at every change of the order; the watcher clears it before it reads."""
        changed = asyncio.Event()
        self._waiting[order_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[order_id].discard(changed)
            if not self._waiting[order_id]:
                del self._waiting[order_id]

    async def notify(self, events: Sequence[Event]) -> None:
        """Handler of the broadcast subscription."""
        for order_id in {event.subject for event in events} & self._waiting.keys():
            for changed in self._waiting[order_id]:
                changed.set()
