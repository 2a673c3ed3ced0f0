"""What a gateway tells through the edge: twice, early, late, forged or senseless."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.webhooks import sign
from tests.flow.edge.buying import Buy
from tests.flow.edge.client import Edge, refusal
from tests.sandbox import SandboxClient

pytestmark = pytest.mark.edge


def test_webhooks_that_come_twice_and_late_confirm_once(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank, "CARD")
    with bank.switched(duplicate_webhooks=2, webhook_delay_seconds=0.5):
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


def test_a_decline_that_is_overtaken_by_the_payment_cancels_nothing(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    with bank.switched(disorder=True):
        bank.decline(buy.link)
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")
    time.sleep(1.5)  # the decline's webhook is a second late; that nothing follows from it shows only afterwards

    assert buy.stands() == ("CONFIRMED", "CAPTURED")


def test_a_webhook_may_come_before_the_answer_to_the_call_that_caused_it(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank, "CARD")
    with bank.switched(answer_delay_seconds=2.0):
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


def webhook(edge: Edge, body: bytes, *, age: int = 0, signed: bytes | None = None) -> Any:
    """A webhook as the gateway would have signed it so many seconds ago."""
    keyring = edge.running.home.folder("secrets") / "sandbox.json"
    header = sign(signed if signed is not None else body, keyring, int(time.time()) - age)
    headers = {"sandbox-signature": header, "content-type": "application/json"}
    return edge.call("POST", "/v1/payments/webhook/sandbox", content=body, headers=headers)


def body_of(edge: Edge, buy: Buy, state: str) -> bytes:
    with psycopg.connect(edge.running.servers.database("payments")) as connection:
        row = connection.execute("SELECT payment_id, minor_units FROM payments WHERE order_id = %s", [buy.order_id]).fetchone()
    assert row is not None
    # Blanks that no JSON writer makes: the signature is over the bytes as they came.
    text = (
        f'{{ "paymentId" : "{row[0]}",\n"state":"{state}","currency":"USD","minorUnits":{row[1]},"reason":"","changedAt":{time.time()} }}'
    )
    return text.encode()


def test_a_signature_is_over_the_very_bytes(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    body = body_of(edge, buy, "FAILED")

    assert refusal(webhook(edge, body.replace(b" ", b""), signed=body)) == (401, "WEBHOOK_REFUSED")
    assert refusal(webhook(edge, body, age=301)) == (401, "WEBHOOK_REFUSED")
    assert buy.stands() == ("PAYMENT_PENDING", "PENDING")
    assert webhook(edge, body, age=200).json() == {}
    buy.becomes("CANCELLED", "VOIDED")


def test_a_webhook_is_no_longer_than_256_kib(edge: Edge):
    assert refusal(webhook(edge, b"x" * (256 * 1024 + 1))) == (413, "VALIDATION_FAILED")
    assert refusal(webhook(edge, b"x" * (256 * 1024 - 1))) == (400, "VALIDATION_FAILED")


def test_a_webhook_of_an_unknown_payment_is_not_found(edge: Edge):
    body = f'{{"paymentId":"{uuid.uuid4()}","state":"CAPTURED","currency":"USD","minorUnits":1,"reason":"","changedAt":0}}'.encode()

    assert refusal(webhook(edge, body)) == (404, "PAYMENT_NOT_FOUND")


def test_a_gateway_without_a_contract_is_not_found(edge: Edge):
    assert refusal(edge.call("POST", "/v1/payments/webhook/nobody", {})) == (404, "GATEWAY_NOT_FOUND")


def test_a_webhook_of_another_amount_is_refused_and_changes_nothing(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    body = body_of(edge, buy, "CAPTURED").replace(b'"minorUnits":', b'"minorUnits":1')

    assert refusal(webhook(edge, body)) == (400, "PAYMENT_DIFFERS")
    assert buy.stands() == ("PAYMENT_PENDING", "PENDING")


def test_links_and_keys_are_in_no_log(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")
    token = buy.link.rpartition("/")[2]
    logs: list[Path] = [*edge.running.logs.glob("*"), *edge.running.traces.glob("*")]

    assert [
        log.name for log in logs if any(secret.encode() in log.read_bytes() for secret in (token, edge.running.secret("sandbox_key")))
    ] == []
