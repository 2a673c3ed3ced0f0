"""Calls to the shop's REST edge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import orjson

from tools import ExpectedFailure
from tools.shop.http import Answer, Connections

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds; longer than the edge itself waits for any call of ours."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 3.0

_PASSING = {0, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_ALREADY_EXISTS = 6


class Refused(ExpectedFailure):
    """The shop said no, or said nothing (status 0)."""

    def __init__(self, status: int, code: int, reason: str, message: str, metadata: dict[str, str] | None = None) -> None:
        super().__init__(f"the shop refuses: {message} ({reason})" if status else message)
        self.status = status
        self.code = code
        """Of google.rpc.Code."""
        self.reason = reason
        """Of bazaar.type.v1.ErrorReason; UNREACHABLE or TIMEOUT when there was no answer, HTTP_503 and its like when it named none."""
        self.text = message
        self.metadata = metadata or {}

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.status in _PASSING and self.code != _ALREADY_EXISTS


class Shop:
    """The shop as its clients see it. Usable by any number of tasks of one event loop."""

    def __init__(self, url: str, *, connections: int = 64) -> None:
        self.url = url
        self.cached = 0
        """Answers that came from the edge's cache."""
        self._connections = Connections(url, connections)

    async def get(self, path: str, *, token: str = "") -> dict[str, Any]:
        """Reads. See `call`."""
        return await self.call("GET", path, token=token)

    async def post(self, path: str, body: dict[str, Any], *, token: str = "", key: str = "") -> dict[str, Any]:
        """Writes. See `call`."""
        return await self.call("POST", path, body, token=token, key=key)

    async def call(self, verb: str, path: str, body: dict[str, Any] | None = None, *, token: str = "", key: str = "") -> dict[str, Any]:
        """Makes one call and returns the answer's JSON.

        Args:
            token: access token of who calls; nobody in particular without one.
            key: Idempotency-Key.

        Raises:
            Refused: any other answer than 200 or 201, or none.
        """
        headers = b""
        if token:
            headers += b"authorization: Bearer %s\r\n" % token.encode()
        if key:
            headers += b"idempotency-key: %s\r\n" % key.encode()
        content = b""
        if body is not None:
            headers += b"content-type: application/json\r\n"
            content = orjson.dumps(body)
        answer = await exchange(self._connections, self.url, verb, path, headers, content)
        self.cached += answer.is_cached
        if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise refusal(answer.status, answer.body)
        return orjson.loads(answer.body)

    def close(self) -> None:
        """Closes the connections."""
        self._connections.close()


async def exchange(connections: Connections, url: str, verb: str, path: str, headers: bytes, content: bytes) -> Answer:
    """Sends a request to the server behind a URL and returns what it answers, whatever the status.

    Raises:
        Refused: there is no answer.
    """
    try:
        return await connections.request(verb, path, headers, content, TIMEOUT)
    except TimeoutError:
        raise Refused(0, 0, "TIMEOUT", f"{url} does not answer in time") from None
    except OSError as error:
        raise Refused(0, 0, "UNREACHABLE", f"{url} cannot be reached: {error.strerror or error}") from None


def refusal(status: int, body: bytes) -> Refused:
    """What an error's `{code, message, details}` says."""
    try:
        error = orjson.loads(body)
        code, message, details = int(error["code"]), str(error["message"]), list(error.get("details", ()))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Refused(status, 0, f"HTTP_{status}", f"HTTP {status} without a readable error")
    info = next((detail for detail in details if str(detail.get("@type", "")).endswith("google.rpc.ErrorInfo")), {})
    return Refused(status, code, info.get("reason", f"HTTP_{status}"), message, info.get("metadata"))


async def patiently(call: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """Makes a call that may be repeated, until it succeeds, is refused for good, or the time is up.

    Raises:
        Refused: the last answer.
    """
    give_up = asyncio.get_running_loop().time() + seconds
    wait = FIRST_WAIT
    while True:
        try:
            return await call()
        except Refused as refused:
            if not refused.may_pass or asyncio.get_running_loop().time() + wait > give_up:
                raise
        await asyncio.sleep(wait * random.uniform(0.5, 1))
        wait = min(wait * 2, LONGEST_WAIT)
