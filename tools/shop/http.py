"""HTTP/1.1 over kept connections, and little else: a load generator shares its cores with what it measures.

General clients take several times the CPU. Answers must say their length, as Envoy's do.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_AGE = b"\r\nage:"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    is_cached: bool = False
    """A cache on the way gave it: it has an age (RFC 9111)."""


class Connections:
    """Connections to one server, opened as needed, at most `most` at a time; who finds none free waits for one.

    Raises, from `request`:
        OSError: the server can't be reached, hung up, or spoke something else than HTTP. The request may have been carried out.
        TimeoutError: no answer in time.
    """

    def __init__(self, url: str, most: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self.head_end = f" HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(most)

    async def request(self, verb: str, path: str, headers: bytes, body: bytes, timeout: float) -> Answer:
        """Sends a request and waits for its answer.

        Args:
            headers: complete lines, each with its line end.
            timeout: seconds, from when a connection is free.
        """
        async with self._free:
            async with asyncio.timeout(timeout):
                connection = await self._open()
                message = b"".join(
                    (f"{verb} {path}".encode(), self.head_end, headers, b"content-length: %d\r\n\r\n" % len(body), body),
                )
                try:
                    answer = await connection.exchange(message)
                except BaseException:
                    # Cut off in the middle: what comes next on it would be taken for another request's answer.
                    connection.close()
                    raise
            if connection.is_open:
                self._idle.append(connection)
            return answer

    async def _open(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class _Connection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._needed = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but name.
        self._transport = cast(asyncio.Transport, transport)

    async def exchange(self, message: bytes) -> Answer:
        if self._transport is None:
            raise ConnectionResetError("the server hung up")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if len(self._received) < self._needed or not self._waiting or self._waiting.done():
            return
        try:
            answer = self._parse()
        except ValueError as error:
            self._fail(ConnectionError(f"that is no HTTP/1.1 answer: {error}"))
            self.close()
            return
        if answer:
            self._received, self._needed = b"", 0
            self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the server hung up"))

    def _parse(self) -> Answer | None:
        """The answer, once all of it is here.

        Raises:
            ValueError: it can't be read.
        """
        end = self._received.find(_HEAD_END)
        if end < 0:
            return None
        head = self._received[:end].lower()
        status = int(head[9:12])
        at = head.find(_LENGTH)
        if at < 0 and status != 204:
            raise ValueError("it doesn't say how long it is")
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        start = end + len(_HEAD_END)
        if len(self._received) < start + length:
            self._needed = start + length
            return None
        if b"\r\nconnection: close" in head:
            self.close()
        return Answer(status, self._received[start : start + length], is_cached=_AGE in head)

    def _fail(self, error: OSError) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(error)
