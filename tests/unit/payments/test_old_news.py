"""A webhook that says nothing new is answered from what is committed, without a transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.kit.database import Database
from services.kit.money import Money
from services.payments.decisions import Report, decide
from services.payments.model import MOVES, Method, Notice, Payment, State
from tests.sandbox import SandboxClient
from tests.unit.payments.till import CARD, Counter, Till, becomes

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
AMOUNT = Money("INR", 1000)


def is_news(state: State, said: State, reported_at: datetime | None) -> bool:
    payment = Payment("p", "o", state, AT, AT, method=Method.CARD, amount=AMOUNT, gateway="psp", reported_at=reported_at)
    after = decide(Report("o", Notice("p", said, AMOUNT, at=AT)), payment, AT)
    return isinstance(after, Payment) and after.version > payment.version


def reachable(state: State) -> set[State]:
    return {state}.union(*(reachable(later) for later in MOVES[state]))


# The gateway refunds when it is told to, and the payment is REFUNDING by then.
@pytest.mark.parametrize("reported_at", [None, AT])
@pytest.mark.parametrize("said", [said for said in State if said is not State.REFUNDED])
def test_what_is_no_news_of_a_payment_is_none_later(said: State, reported_at: datetime | None):
    ended = [state for state in State if state is not State.ACCEPTED and not is_news(state, said, reported_at)]

    assert ended
    assert [(state, later) for state in ended for later in reachable(state) if is_news(later, said, reported_at)] == []


@pytest.mark.usefixtures("listening")
async def test_a_repeat_waits_for_nobody(till: Till, sandbox: SandboxClient, counter: Counter, database: Database, order_id: str):
    made = await till.create(order_id, CARD)
    sandbox.pay(made.payment_link)
    await becomes(till, order_id)("CAPTURED")
    headers, body = next(told for told in counter.door.heard if made.payment_id.encode() in told[1])

    async with database.transaction() as rival:
        await rival.execute("SELECT FROM payments WHERE order_id = %s FOR UPDATE", [order_id])
        async with asyncio.timeout(5):
            await till.hear(headers, body)
