"""Links between processes that a test slows down, cuts, or lets go silent.

Toxiproxy does the same for TCP, but not for the unix sockets that PostgreSQL and the workers listen on here; and where nothing but pip
is at hand it isn't either.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

Address = int | Path
"""A TCP port of 127.0.0.1, or a unix socket."""

_APART_SECONDS = 1e-5
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed is reset."""


class Link:
    """An address that leads to another one.

    Args:
        name: what it leads to.
        at: where it is called.
        to: who answers there.
    """

    def __init__(self, name: str, at: Address, to: Address) -> None:
        self.name = name
        self.at = at
        self.to = to
        self.delay = (0.0, 0.0)
        """What every piece of an answer waits: seconds, and as many more or less at random."""
        self.is_silent = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def open(self) -> None:
        """Takes connections."""
        if isinstance(self.at, Path):
            self._server = await asyncio.start_unix_server(self._accept, self.at)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.at)

    async def cut(self) -> None:
        """Resets every connection, and refuses new ones."""
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            connection.reset()

    async def fall_silent(self) -> None:
        """Loses whatever comes, of new connections too. These are lost for good, as behind a firewall that has forgotten them."""
        self.is_silent = True
        for connection in self._connections:
            connection.is_lost = True

    async def heal(self) -> None:
        """Serves whoever connects from now on."""
        self.is_silent, self.delay = False, (0.0, 0.0)
        if not (self._server and self._server.is_serving()):
            await self.open()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.serve()
        except OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)


class _Connection:
    """One connection, in its two halves."""

    def __init__(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_lost = link.is_silent
        self._link = link
        self._near = (reader, writer)
        self._writers = [writer]
        self._serving = asyncio.current_task()

    async def serve(self) -> None:
        """Carries both ways until both ends have hung up."""
        if self.is_lost:
            await asyncio.Event().wait()
        far = await _connected(self._link.to)
        self._writers.append(far[1])
        await asyncio.gather(self._carry(self._near[0], far[1], is_answer=False), self._carry(far[0], self._near[1], is_answer=True))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            piece = await reader.read(2**16)
            delay, jitter = self._link.delay if is_answer else (0.0, 0.0)
            # Never together with the piece that came before, or the loop might take it first.
            due = max(due + _APART_SECONDS, loop.time() + delay + random.uniform(-jitter, jitter))
            if self.is_lost:
                await asyncio.Event().wait()
            # Nor before it: what is due at once waits its turn like all others.
            loop.call_at(due, _pass_on, writer, piece)
            if not piece:
                return

    def reset(self) -> None:
        """Ends it as a process does that dies."""
        for writer in self._writers:
            raw: socket.socket = writer.get_extra_info("socket")
            if raw.fileno() < 0:
                continue  # over already, and its transport has no loop any more
            if raw.family != socket.AF_UNIX:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        if self._serving:
            self._serving.cancel()


async def _connected(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await (asyncio.open_unix_connection(address) if isinstance(address, Path) else asyncio.open_connection("127.0.0.1", address))


def _pass_on(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """A piece; of none, that there will be no more."""
    if writer.transport.is_closing():
        return
    if piece:
        writer.write(piece)
    else:
        writer.close()


class Links:
    """Some links, carried by a thread of their own: what a test does meanwhile, and what waits for a server to be ready, holds up none."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = {link.name: link for link in links}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Links:
        self._thread.start()
        for link in self._links.values():
            self._do(link.open())
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links.values():
            self._do(link.cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def at(self, name: str) -> Any:
        """Where one is called."""
        return self._links[name].at

    def slow(self, *names: str, seconds: float, jitter: float) -> None:
        for name in names:
            self._links[name].delay = (seconds, jitter)

    def cut(self, *names: str) -> None:
        for name in names:
            self._do(self._links[name].cut())

    def silence(self, *names: str) -> None:
        for name in names:
            self._do(self._links[name].fall_silent())

    def heal(self, *names: str) -> None:
        for name in names:
            self._do(self._links[name].heal())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
