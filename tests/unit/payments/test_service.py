"""The servicer and its clearing, with a real gateway's process and whatever goes wrong there."""

from __future__ import annotations

import asyncio

import pytest

from bazaar.payments.v1 import payments_pb2
from tests.sandbox import SandboxClient
from tests.unit.payments.till import CARD, COD, Till, becomes


async def test_cash_is_taken_by_nobodys_gateway(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, COD)
    await till.void(order_id)

    assert (made.state, made.gateway, made.payment_link) == (payments_pb2.Payment.ACCEPTED, "", "")
    assert not await till.is_due(order_id)
    assert sandbox.entries(order_id) == []


async def test_a_payment_is_opened_with_its_link(till: Till, order_id: str):
    made = await till.create(order_id)

    assert (made.state, made.gateway) == (payments_pb2.Payment.PENDING, "sandbox")
    assert made.payment_link.startswith("http://127.0.0.1:")
    assert (await till.create(order_id)) == made


@pytest.mark.usefixtures("listening")
async def test_upi_is_captured_by_paying(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)

    assert sandbox.pay(made.payment_link) == 303
    await becomes(till, order_id)("CAPTURED")

    assert (await till.get(order_id)).payment_link == ""
    assert sandbox.entries(order_id) == ["CAPTURED"]
    assert await till.events() == ["Initiated", "Captured"]


@pytest.mark.usefixtures("listening")
async def test_a_card_is_authorized_by_paying_and_captured_by_the_shop(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, CARD)

    sandbox.pay(made.payment_link)
    await becomes(till, order_id)("CAPTURED")

    assert sandbox.entries(order_id) == ["AUTHORIZED", "CAPTURED"]
    assert await till.events() == ["Initiated", "Authorized", "Captured"]


@pytest.mark.usefixtures("deaf")
async def test_the_leader_asks_too(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, CARD)
    assert await till.clear(order_id) == "PENDING"

    sandbox.pay(made.payment_link)

    assert await till.clear(order_id) == "CAPTURED"
    assert not await till.is_due(order_id)


@pytest.mark.usefixtures("listening")
async def test_a_decline_says_why(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id)
    with sandbox.switched(decline=True):
        sandbox.pay(made.payment_link)
        await becomes(till, order_id)("FAILED")

    assert (await till.get(order_id)).failure_reason == "DECLINED"


@pytest.mark.usefixtures("deaf")
async def test_a_gateway_that_is_down_gives_its_link_later(till: Till, sandbox: SandboxClient, order_id: str):
    with sandbox.switched(down=True):
        made = await till.create(order_id)
        assert (made.state, made.payment_link) == (payments_pb2.Payment.PENDING, "")
        assert await till.clear(order_id) == "PENDING"
        assert await till.is_due(order_id)

    assert (await till.get(order_id)).payment_link != ""


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize("trouble", [{"unknown": True}, {"answer_delay_seconds": 3.0}], ids=["answers 500", "never answers in time"])
async def test_what_the_gateway_did_without_saying_so_is_asked_for(
    till: Till, sandbox: SandboxClient, order_id: str, trouble: dict[str, float]
):
    with sandbox.switched(**trouble):
        made = await till.create(order_id, CARD)
        assert made.payment_link == ""
    link = (await till.get(order_id)).payment_link
    sandbox.pay(link)
    with sandbox.switched(**trouble):
        await till.get(order_id)

    assert (await till.get(order_id)).state == payments_pb2.Payment.CAPTURED
    assert sandbox.entries(order_id) == ["AUTHORIZED", "CAPTURED"]


@pytest.mark.usefixtures("deaf")
async def test_two_leaders_at_once_move_the_money_once(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, CARD)
    sandbox.pay(made.payment_link)

    await asyncio.gather(*(till.clear(order_id) for _ in range(4)), *(till.get(order_id) for _ in range(4)))

    assert sandbox.entries(order_id) == ["AUTHORIZED", "CAPTURED"]
    assert await till.events() == ["Initiated", "Authorized", "Captured"]
