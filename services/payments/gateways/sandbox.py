"""The sandbox, a gateway for trying things out: sandbox/ in this project, spoken to as to any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import orjson

from services.kit.clock import Clock, system_clock
from services.kit.errors import InvalidArgument
from services.kit.money import Money
from services.kit.secrets import Keyring, Secrets
from services.kit.telemetry import tracing
from services.payments import signature
from services.payments.gateway import GatewayAway
from services.payments.model import Method, Notice, Payment, State

SIGNATURE = "sandbox-signature"
_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=1.0)
_CONNECTIONS = 32
_IDLE_SECONDS = 20.0
"""After which a connection is closed here: sooner than there."""


class WebhookUnreadable(InvalidArgument):
    """The gateway has signed something that isn't a webhook of its own."""

    reason = "VALIDATION_FAILED"


def connect(url: str, secrets: Secrets) -> SandboxGateway:
    """The adapter, with the secrets `sandbox_key` (of its API) and `sandbox.json` (of its webhooks).

    Raises:
        SecretUnusable: one of them is missing.
    """
    secrets.keyring("sandbox")
    return SandboxGateway(url, secrets.text("sandbox_key"), lambda: secrets.keyring("sandbox"))


class SandboxGateway:
    """An HTTP client of the sandbox's API: aiohttp's, which takes a fifth of the CPU that httpx does.

    Args:
        keys: those that a webhook may be signed with, asked for at each of them: a rotation needs no restart.
    """

    name = "sandbox"
    methods = frozenset({Method.UPI, Method.CARD})

    def __init__(self, url: str, api_key: str, keys: Callable[[], Keyring], clock: Clock = system_clock) -> None:
        self._payments = f"{url.rstrip('/')}/v1/payments"
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self._opened: aiohttp.ClientSession | None = None
        self._keys = keys
        self._clock = clock

    async def open(self, payment: Payment) -> str:
        assert payment.amount is not None, "only an order that is to be paid has a gateway"
        body = {
            "paymentId": payment.payment_id,
            "method": payment.method,
            "currency": payment.amount.currency,
            "minorUnits": payment.amount.minor_units,
            "reference": payment.order_id,
        }
        opened = await self._call("open", "POST", "", payment, body)
        if opened is None:
            raise GatewayAway(self.name)
        return str(opened["link"])

    async def status(self, payment: Payment) -> Notice | None:
        found = await self._call("status", "GET", f"/{payment.payment_id}", payment)
        return None if found is None else _notice(found)

    async def capture(self, payment: Payment) -> Notice:
        return await self._settle("capture", payment)

    async def void(self, payment: Payment) -> Notice:
        return await self._settle("void", payment)

    async def refund(self, payment: Payment) -> Notice:
        return await self._settle("refund", payment)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice:
        signature.check(headers.get(SIGNATURE, ""), body, self._keys(), self._clock())
        try:
            return _notice(orjson.loads(body))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise WebhookUnreadable("The webhook can't be read.") from None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def _settle(self, verb: str, payment: Payment) -> Notice:
        found = await self._call(verb, "POST", f"/{payment.payment_id}/{verb}", payment)
        if found is None:
            raise GatewayAway(self.name)
        return _notice(found)

    async def _call(self, what: str, verb: str, path: str, payment: Payment, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The payment as the sandbox has it, also when it refuses (409); None when it doesn't know it.

        Raises:
            GatewayAway: every other answer, and none.
        """
        attributes = {tracing.ORDER_ID: payment.order_id, "server.address": urlsplit(self._payments).hostname or ""}
        sent = orjson.dumps(body) if body else None
        with tracing.span(f"{self.name} {what}", kind=tracing.SpanKind.CLIENT, attributes=attributes) as span:
            try:
                async with await self._session().request(verb, self._payments + path, data=sent, allow_redirects=False) as answer:
                    status, document = answer.status, await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise GatewayAway(self.name) from error
            span.set_attribute("http.response.status_code", status)
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status not in (HTTPStatus.OK, HTTPStatus.CONFLICT):
                raise GatewayAway(self.name)
            return orjson.loads(document)

    def _session(self) -> aiohttp.ClientSession:
        """Opened by the first call: it belongs to the event loop that it is opened in."""
        if self._opened is None:
            connections = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS)
            self._opened = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT, connector=connections)
        return self._opened


def _notice(document: dict[str, Any]) -> Notice:
    return Notice(
        payment_id=str(UUID(document["paymentId"])),
        state=State(document["state"]),
        amount=Money(str(document["currency"]), int(document["minorUnits"])),
        reason=str(document["reason"]),
        at=datetime.fromtimestamp(document["changedAt"], UTC),
    )
