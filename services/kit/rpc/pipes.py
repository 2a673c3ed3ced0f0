"""Messages on their way between two tasks of one process."""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW_BYTES = 64 * 1024
"""A writer waits while so much is unread; HTTP/2's initial window."""


class Pipe:
    """One direction of a call: serialised messages in order, one writer and one reader."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._unread_bytes = 0
        self._is_closed = False
        self._waiting: list[asyncio.Future[None]] = []

    async def put(self, message: bytes) -> bool:
        """Sends a message once there is room; False when the pipe is closed."""
        while self._unread_bytes >= WINDOW_BYTES and not self._is_closed:
            await self._change()
        if self._is_closed:
            return False
        self._messages.append(message)
        self._unread_bytes += len(message)
        self._changed()
        return True

    async def get(self) -> bytes | None:
        """The next message; None after the last."""
        while not self._messages:
            if self._is_closed:
                return None
            await self._change()
        message = self._messages.popleft()
        self._unread_bytes -= len(message)
        self._changed()
        return message

    def close(self) -> None:
        """No more messages come; those on their way are still read."""
        self._is_closed = True
        self._changed()

    def cut(self) -> None:
        """Nothing more comes, not even what is on its way."""
        self._messages.clear()
        self.close()

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _changed(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
