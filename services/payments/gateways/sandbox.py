"""The sandbox, a gateway for trying things out: sandbox/ in this project, spoken to as to any other."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
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
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_CONNECTIONS = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=20.0)


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
    """An HTTP client of the sandbox's API.

    Args:
        keys: those that a webhook may be signed with, asked for at each of them: a rotation needs no restart.
    """

    name = "sandbox"
    methods = frozenset({Method.UPI, Method.CARD})

    def __init__(self, url: str, api_key: str, keys: Callable[[], Keyring], clock: Clock = system_clock) -> None:
        # httpx tells of every request at INFO; spans do that here.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {api_key}"},
            timeout=_TIMEOUT,
            limits=_CONNECTIONS,
            trust_env=False,
            # Reading every certificate authority of the machine takes 20 ms, and plain HTTP needs none.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http:") else True,
        )
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
        await self._http.aclose()

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
        attributes = {tracing.ORDER_ID: payment.order_id, "server.address": self._http.base_url.host}
        with tracing.span(f"{self.name} {what}", kind=tracing.SpanKind.CLIENT, attributes=attributes) as span:
            try:
                answer = await self._http.request(verb, f"/v1/payments{path}", json=body)
            except httpx.HTTPError as error:
                raise GatewayAway(self.name) from error
            span.set_attribute("http.response.status_code", answer.status_code)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code not in (httpx.codes.OK, httpx.codes.CONFLICT):
                raise GatewayAway(self.name)
            return answer.json()


def _notice(document: dict[str, Any]) -> Notice:
    return Notice(
        payment_id=str(UUID(document["paymentId"])),
        state=State(document["state"]),
        amount=Money(str(document["currency"]), int(document["minorUnits"])),
        reason=str(document["reason"]),
        at=datetime.fromtimestamp(document["changedAt"], UTC),
    )
