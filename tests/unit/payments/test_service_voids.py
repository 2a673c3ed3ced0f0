"""Payments that are given up: what was not paid can't be any more, what was paid goes back."""

from __future__ import annotations

import pytest

from bazaar.payments.v1 import payments_pb2
from tests.sandbox import SandboxClient
from tests.shop import eventually
from tests.unit.payments.till import Till, becomes


@pytest.mark.usefixtures("listening")
async def test_a_payment_that_was_given_up_cannot_be_paid_any_more(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)

    assert (await till.void(order_id)).state == payments_pb2.Payment.VOIDED
    await eventually(lambda: till.is_due(order_id), False)

    assert sandbox.pay(made.payment_link) == 409
    assert sandbox.entries(order_id) == ["VOIDED"]


@pytest.mark.usefixtures("deaf")
async def test_a_gateway_is_told_of_a_void_until_it_has_heard(till: Till, sandbox: SandboxClient, order_id: str):
    await till.create(order_id)
    with sandbox.switched(down=True):
        await till.void(order_id)
        assert await till.clear(order_id) == "VOIDED"
        assert await till.is_due(order_id)
        assert sandbox.entries(order_id) == []

    await till.clear(order_id)

    assert not await till.is_due(order_id)
    assert sandbox.entries(order_id) == ["VOIDED"]


async def test_a_void_of_what_the_gateway_never_heard_of_is_done(till: Till, sandbox: SandboxClient, order_id: str):
    with sandbox.switched(down=True):
        await till.create(order_id)
    await till.void(order_id)
    await eventually(lambda: till.is_due(order_id), False)

    assert await till.state(order_id) == "VOIDED"


@pytest.mark.usefixtures("deaf")
async def test_what_was_captured_while_it_was_given_up_goes_back_by_itself(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)
    sandbox.pay(made.payment_link)

    assert (await till.void(order_id)).state == payments_pb2.Payment.VOIDED
    await becomes(till, order_id)("REFUNDED")

    assert sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    assert await till.events() == ["Initiated", "Voided", "Refunding", "Refunded"]


@pytest.mark.usefixtures("listening")
async def test_what_is_captured_long_after_it_was_given_up_goes_back_by_itself(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)
    await till.void(order_id)
    await eventually(lambda: till.is_due(order_id), False)

    with sandbox.switched(late=True):
        assert sandbox.pay(made.payment_link) == 303
        await becomes(till, order_id)("REFUNDED")

    assert sandbox.entries(order_id) == ["VOIDED", "CAPTURED", "REFUNDED"]


@pytest.mark.usefixtures("listening")
async def test_a_captured_payment_is_refunded_until_the_gateway_confirms_it(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)
    sandbox.pay(made.payment_link)
    await becomes(till, order_id)("CAPTURED")
    with sandbox.switched(down=True):
        assert (await till.void(order_id)).state == payments_pb2.Payment.REFUNDING
        assert await till.clear(order_id) == "REFUNDING"

    assert await till.clear(order_id) == "REFUNDED"
    assert sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
