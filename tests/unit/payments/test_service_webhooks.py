"""What a gateway tells: lost, twice, early, late, forged or senseless."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from bazaar.payments.v1 import payments_pb2
from sandbox.webhooks import sign
from services.kit.errors import DomainError
from services.kit.rpc import calls
from tests.sandbox import SandboxClient
from tests.shop import eventually
from tests.unit.payments.till import CARD, COD, UPI, Counter, Till, becomes, heard

_SOME_ID = b"01a1ff0a-c573-7246-904b-bf35c7c928ac"


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize(("method", "entries"), [(UPI, ["CAPTURED"]), (CARD, ["AUTHORIZED", "CAPTURED"])])
async def test_a_lost_webhook_is_made_good_by_asking(till: Till, sandbox: SandboxClient, order_id: str, method: Any, entries: list[str]):
    made = await till.create(order_id, method)
    sandbox.pay(made.payment_link)

    assert (await till.get(order_id)).state == payments_pb2.Payment.CAPTURED
    assert sandbox.entries(order_id) == entries


@pytest.mark.usefixtures("listening")
async def test_a_webhook_may_overtake_the_answer_to_the_call_that_caused_it(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, CARD)
    with sandbox.switched(answer_delay_seconds=1.0):
        sandbox.pay(made.payment_link)
        await becomes(till, order_id)("CAPTURED")
    await asyncio.wait(calls.outliving(), timeout=10)

    assert sandbox.entries(order_id) == ["AUTHORIZED", "CAPTURED"]
    assert await till.events() == ["Initiated", "Authorized", "Captured"]


@pytest.mark.usefixtures("listening")
async def test_webhooks_that_come_twice_count_once(till: Till, sandbox: SandboxClient, counter: Counter, order_id: str):
    made = await till.create(order_id, CARD)
    with sandbox.switched(duplicate_webhooks=2):
        sandbox.pay(made.payment_link)
        await becomes(till, order_id)("CAPTURED")
        await eventually(lambda: heard(counter, made.payment_id), 6)

    assert await till.events() == ["Initiated", "Authorized", "Captured"]


@pytest.mark.usefixtures("listening")
async def test_a_decline_that_is_overtaken_by_the_payment_is_old_news(till: Till, sandbox: SandboxClient, counter: Counter, order_id: str):
    made = await till.create(order_id)
    with sandbox.switched(disorder=True):
        sandbox.decline(made.payment_link)
        sandbox.pay(made.payment_link)
        await becomes(till, order_id)("CAPTURED")
        await eventually(lambda: heard(counter, made.payment_id), 2)

    assert await till.state(order_id) == "CAPTURED"
    assert await till.events() == ["Initiated", "Captured"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"paymentId": 1}',
        b'{"paymentId": "one", "state": "CAPTURED", "currency": "INR", "minorUnits": 1, "reason": "", "changedAt": 0}',
        b'{"paymentId": "%s", "state": "LOST", "currency": "INR", "minorUnits": 1, "reason": "", "changedAt": 0}' % _SOME_ID,
        b'{"paymentId": "%s", "state": "FAILED", "currency": "INR", "minorUnits": 1, "reason": "", "changedAt": 1e99}' % _SOME_ID,
    ],
)
async def test_a_signed_webhook_that_says_nothing_is_refused(till: Till, counter: Counter, body: bytes):
    with pytest.raises(DomainError) as refused:
        await till.hear({"sandbox-signature": sign(body, counter.folder / "sandbox.json", int(time.time()))}, body)

    assert refused.value.reason == "VALIDATION_FAILED"


async def test_no_gateways_word_counts_for_what_another_one_or_none_collects(till: Till, counter: Counter, order_id: str):
    cash = await till.create(order_id, COD)
    said = {"paymentId": cash.payment_id, "state": "CAPTURED", "currency": "INR", "minorUnits": 1999, "reason": "", "changedAt": 0}
    body = json.dumps(said).encode()
    with pytest.raises(DomainError) as refused:
        await till.hear({"sandbox-signature": sign(body, counter.folder / "sandbox.json", int(time.time()))}, body)

    assert refused.value.reason == "PAYMENT_NOT_FOUND"
    assert await till.state(order_id) == "ACCEPTED"


async def test_a_webhook_that_nobody_signed_is_refused(till: Till):
    with pytest.raises(DomainError) as refused:
        await till.hear({}, b"{}")

    assert (refused.value.reason, refused.value.metadata) == ("WEBHOOK_REFUSED", {"why": "unsigned"})


async def test_a_gateway_without_a_contract_is_not_found(till: Till):
    with pytest.raises(DomainError) as refused:
        await till.hear({}, b"{}", gateway="nobody")

    assert (refused.value.reason, refused.value.metadata) == ("GATEWAY_NOT_FOUND", {"gateway": "nobody"})
