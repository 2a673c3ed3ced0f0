"""The servicer and its clearing, with a real gateway's process and whatever goes wrong there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from google.api.httpbody_pb2 import HttpBody

from bazaar.payments.v1 import payments_pb2
from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.type.v1.money_pb2 import Money
from sandbox.webhooks import sign
from services.kit.auth import Principal
from services.kit.clock import system_clock
from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.rpc import calls
from services.payments.clearing import Clearing
from services.payments.gateways.sandbox import SandboxGateway, connect
from services.payments.service import PaymentsServicer
from services.payments.store import PaymentStore
from tests.sandbox import SandboxClient
from tests.shop import eventually
from tests.unit.payments.conftest import Counter

UPI, CARD, COD = payments_pb2.Payment.UPI, payments_pb2.Payment.CARD, payments_pb2.Payment.COD


_CALL = calls.Call("/bazaar.payments.v1.PaymentsService/Any", "checkout", Principal("service", "checkout", frozenset()))
_SOME_ID = b"01a1ff0a-c573-7246-904b-bf35c7c928ac"


class Till:
    """The servicer, called as its neighbours call it, and the clearing that its leader does."""

    def __init__(self, servicer: Any, clearing: Clearing, database: Database) -> None:
        self.clearing = clearing
        self._servicer = servicer
        self._database = database

    async def create(self, order_id: str, method: payments_pb2.Payment.Method.ValueType = UPI) -> payments_pb2.Payment:
        ask = pb.CreatePaymentRequest(order_id=order_id, method=method, amount=Money(currency_code="INR", minor_units=1999))
        return (await self._servicer.CreatePayment(ask, None)).payment

    async def get(self, order_id: str) -> payments_pb2.Payment:
        return (await self._servicer.GetPayment(pb.GetPaymentRequest(order_id=order_id), None)).payment

    async def void(self, order_id: str) -> payments_pb2.Payment:
        return (await self._servicer.VoidPayment(pb.VoidPaymentRequest(order_id=order_id), None)).payment

    async def hear(self, headers: dict[str, str], body: bytes, gateway: str = "sandbox") -> None:
        calls.enter(_CALL)
        context = SimpleNamespace(invocation_metadata=lambda: tuple(headers.items()))
        await self._servicer.ReceiveWebhook(pb.ReceiveWebhookRequest(gateway=gateway, body=HttpBody(data=body)), context)

    async def state(self, order_id: str) -> str:
        """As it is kept, asking nobody."""
        return (await self._row(order_id))["state"]

    async def is_due(self, order_id: str) -> bool:
        return (await self._row(order_id))["due_at"] is not None

    async def clear(self, order_id: str) -> str:
        """What the leader does once the payment's time has come; the state after it."""
        async with self._database.connection() as connection:
            await connection.execute("UPDATE payments SET due_at = now() - interval '1 second' WHERE order_id = %s", [order_id])
        await self.clearing.clear()
        return await self.state(order_id)

    async def events(self) -> list[str]:
        async with self._database.connection() as connection:
            rows = await (await connection.execute("SELECT type FROM outbox ORDER BY id")).fetchall()
        return [row["type"].rpartition(".Payment")[2] for row in rows]

    async def _row(self, order_id: str) -> dict[str, Any]:
        async with self._database.connection() as connection:
            row = await (await connection.execute("SELECT * FROM payments WHERE order_id = %s", [order_id])).fetchone()
        assert row is not None
        return row


@pytest.fixture
async def gateway(counter: Counter) -> AsyncIterator[SandboxGateway]:
    gateway = connect(counter.url, counter.secrets)
    yield gateway
    await gateway.close()


@pytest.fixture
def sandbox(counter: Counter) -> SandboxClient:
    return counter.client


@pytest.fixture
def deaf(counter: Counter) -> Iterator[None]:
    """No webhook comes while the test runs."""
    with counter.client.switched(lose_webhooks=True):
        yield


@pytest.fixture
def till(database: Database, gateway: SandboxGateway) -> Till:
    calls.enter(_CALL)
    payments = PaymentStore(database, system_clock)
    clearing = Clearing(payments, {gateway.name: gateway})
    return Till(PaymentsServicer(payments, [gateway], clearing), clearing, database)


@pytest.fixture
async def listening(counter: Counter, till: Till) -> AsyncIterator[None]:
    """Webhooks get to the servicer."""
    loop = asyncio.get_running_loop()

    def hear(headers: dict[str, str], body: bytes) -> int:
        asyncio.run_coroutine_threadsafe(till.hear(headers, body), loop).result(10)
        return 200

    counter.door.hear = hear
    yield
    counter.door.hear = lambda headers, body: 200


@pytest.fixture
def order_id() -> str:
    return str(uuid4())


def becomes(till: Till, order_id: str) -> Callable[[str], Any]:
    return lambda state: eventually(lambda: till.state(order_id), state)


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
@pytest.mark.parametrize(("method", "entries"), [(UPI, ["CAPTURED"]), (CARD, ["AUTHORIZED", "CAPTURED"])])
async def test_a_lost_webhook_is_made_good_by_asking(till: Till, sandbox: SandboxClient, order_id: str, method: Any, entries: list[str]):
    made = await till.create(order_id, method)
    sandbox.pay(made.payment_link)

    assert (await till.get(order_id)).state == payments_pb2.Payment.CAPTURED
    assert sandbox.entries(order_id) == entries


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


async def heard(counter: Counter, payment_id: str) -> int:
    return sum(payment_id.encode() in body for _, body in counter.door.heard)


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


@pytest.mark.usefixtures("deaf")
async def test_two_leaders_at_once_move_the_money_once(till: Till, sandbox: SandboxClient, order_id: str):
    made = await till.create(order_id, CARD)
    sandbox.pay(made.payment_link)

    await asyncio.gather(*(till.clear(order_id) for _ in range(4)), *(till.get(order_id) for _ in range(4)))

    assert sandbox.entries(order_id) == ["AUTHORIZED", "CAPTURED"]
    assert await till.events() == ["Initiated", "Authorized", "Captured"]


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
