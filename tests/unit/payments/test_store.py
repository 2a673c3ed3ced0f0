import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from bazaar.payments.v1 import events_pb2, payments_pb2
from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.ids import uuid7
from services.kit.money import Money
from services.payments.decisions import Create, Link, Report, Void
from services.payments.model import Method, Notice, Payment, PaymentNotFound, State
from services.payments.store import PaymentStore
from tests.unit.rivals import meet

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LOCK_TABLE = "LOCK TABLE payments IN SHARE MODE"


@pytest.fixture
def payments(database: Database) -> PaymentStore:
    return PaymentStore(database, lambda: NOW)


def create(order_id: str, minor_units: int = 1000) -> Create:
    return Create(order_id, uuid7(), Method.COD, Money("INR", minor_units))


def at_gateway(order_id: str) -> Create:
    return replace(create(order_id), method=Method.CARD, gateway="psp")


def notice(payment: Payment, state: State, reason: str = "", at: datetime | None = NOW) -> Notice:
    assert payment.amount is not None
    return Notice(payment.payment_id, state, payment.amount, reason, at)


def void(order_id: str) -> Void:
    return Void(order_id, uuid7())


async def told(database: Database) -> list[tuple[str, str, int, events_pb2.PaymentEvent]]:
    """The events that wait to be published: type, key, version, content."""
    async with database.connection() as connection:
        rows = await (await connection.execute("SELECT * FROM outbox WHERE topic = 'payments' ORDER BY id")).fetchall()
    return [
        (row["type"].rpartition(".")[2], row["key"], row["aggregate_version"], events_pb2.PaymentEvent.FromString(row["payload"]))
        for row in rows
    ]


async def test_a_payment_is_kept_and_told_of(payments: PaymentStore, database: Database):
    order_id = str(uuid4())

    made = await payments.submit(create(order_id))

    assert made == Payment(made.payment_id, order_id, State.ACCEPTED, NOW, NOW, 1, Method.COD, Money("INR", 1000))
    assert await payments.get(order_id) == made
    ((kind, key, version, content),) = await told(database)
    assert (kind, key, version) == ("PaymentInitiated", order_id, 1)
    assert content.payment_initiated.payment_id == made.payment_id
    assert content.payment_initiated.order_id == order_id
    assert content.payment_initiated.method == payments_pb2.Payment.COD
    assert content.payment_initiated.state == payments_pb2.Payment.ACCEPTED
    assert content.payment_initiated.amount.minor_units == 1000
    assert content.payment_initiated.amount.currency_code == "INR"


async def test_a_repeat_gets_the_same_payment_and_tells_nothing(payments: PaymentStore, database: Database):
    order_id = str(uuid4())
    made = await payments.submit(create(order_id))

    assert await payments.submit(create(order_id)) == made
    assert len(await told(database)) == 1


async def test_a_repeat_leaves_the_new_ones_of_its_batch_alone(payments: PaymentStore, database: Database):
    repeated, new = str(uuid4()), str(uuid4())
    made = await payments.submit(create(repeated))

    again, opened = await payments.decide([create(repeated), create(new)])

    assert again == made
    assert await payments.get(new) == opened
    assert [key for _, key, *_ in await told(database)] == [repeated, new]


async def test_an_order_without_payment_has_none(payments: PaymentStore):
    with pytest.raises(PaymentNotFound) as refused:
        await payments.get(order_id := str(uuid4()))

    assert (refused.value.reason, refused.value.metadata) == ("PAYMENT_NOT_FOUND", {"order_id": order_id})


async def test_a_refused_create_changes_nothing(payments: PaymentStore, database: Database):
    order_id = str(uuid4())
    made = await payments.submit(create(order_id))

    with pytest.raises(DomainError):
        await payments.submit(create(order_id, 1001))

    assert await payments.get(order_id) == made
    assert len(await told(database)) == 1


async def test_a_voided_payment_is_told_of_as_its_next_version(payments: PaymentStore, database: Database):
    order_id = str(uuid4())
    made = await payments.submit(create(order_id))

    await payments.submit(void(order_id))
    await payments.submit(void(order_id))

    assert (await payments.get(order_id)).state is State.VOIDED
    kind, key, version, content = (await told(database))[1]
    assert (kind, key, version) == ("PaymentVoided", order_id, 2)
    assert content.payment_voided == events_pb2.PaymentVoided(payment_id=made.payment_id, order_id=order_id)
    assert len(await told(database)) == 2


async def test_a_payment_is_found_by_the_id_its_gateway_has(payments: PaymentStore):
    made = await payments.submit(create(str(uuid4())))

    assert await payments.find(made.payment_id) == made
    with pytest.raises(PaymentNotFound) as refused:
        await payments.find(unknown := str(uuid4()))
    assert refused.value.metadata == {"payment_id": unknown}


async def test_what_a_gateway_says_is_kept_whole(payments: PaymentStore):
    made = await payments.submit(at_gateway(str(uuid4())))
    await payments.submit(Link(made.order_id, "there"))
    failed = await payments.submit(Report(made.order_id, notice(made, State.FAILED, "DECLINED")))

    wanted = replace(made, state=State.FAILED, version=2, link="there", failure_reason="DECLINED", reported_at=NOW, due_at=None)
    assert failed == wanted == await payments.get(made.order_id)


async def test_a_link_is_kept_and_told_to_nobody(payments: PaymentStore, database: Database):
    made = await payments.submit(at_gateway(str(uuid4())))

    await payments.submit(Link(made.order_id, "there"))

    assert (await payments.get(made.order_id)).link == "there"
    assert [kind for kind, *_ in await told(database)] == ["PaymentInitiated"]


async def test_every_change_at_a_gateway_is_told_of_once(payments: PaymentStore, database: Database):
    made = await payments.submit(at_gateway(str(uuid4())))
    said = [State.AUTHORIZED, State.AUTHORIZED, State.CAPTURED, State.AUTHORIZED, State.CAPTURED, State.FAILED]

    await payments.decide([Report(made.order_id, notice(made, state, at=None)) for state in said])
    await payments.submit(void(made.order_id))
    await payments.submit(Report(made.order_id, notice(made, State.REFUNDED)))

    events = await told(database)
    assert [(kind, version) for kind, _, version, _ in events] == [
        ("PaymentInitiated", 1),
        ("PaymentAuthorized", 2),
        ("PaymentCaptured", 3),
        ("PaymentRefunding", 4),
        ("PaymentRefunded", 5),
    ]
    assert {content.payment_captured.amount.minor_units for kind, _, _, content in events if kind == "PaymentCaptured"} == {1000}
    assert all(key == made.order_id for _, key, _, _ in events)


async def test_a_failure_is_told_of_with_its_reason(payments: PaymentStore, database: Database):
    made = await payments.submit(at_gateway(str(uuid4())))

    await payments.submit(Report(made.order_id, notice(made, State.FAILED, "DECLINED")))

    assert (await told(database))[1][3].payment_failed.reason == "DECLINED"


async def test_what_is_due_is_put_off_before_it_is_begun(database: Database):
    now = [NOW]
    payments = PaymentStore(database, lambda: now[0])
    made = [await payments.submit(at_gateway(str(uuid4()))) for _ in range(3)]
    await payments.submit(create(str(uuid4())))
    assert await payments.claim(10) == []

    now[0] = NOW + timedelta(seconds=3)
    first = await payments.claim(2)
    rest = await payments.claim(10)

    assert sorted(payment.order_id for payment in (*first, *rest)) == sorted(payment.order_id for payment in made)
    assert await payments.claim(10) == []
    # The second attempt comes 2 to 4 seconds later, the third 4 to 8 after that.
    now[0] += timedelta(seconds=4)
    assert len(await payments.claim(10)) == 3
    now[0] += timedelta(seconds=3)
    assert await payments.claim(10) == []


async def test_two_leaders_never_claim_the_same_payment_at_once(payments: PaymentStore, database: Database):
    made = await payments.submit(at_gateway(str(uuid4())))
    later = PaymentStore(database, lambda: NOW + timedelta(hours=1))

    claimed = await asyncio.gather(later.claim(10), later.claim(10), later.claim(10))

    assert [payment for each in claimed for payment in each] == [made]


async def test_an_order_voided_before_its_payment_is_remembered(payments: PaymentStore, database: Database):
    order_id = str(uuid4())

    tombstone = await payments.submit(void(order_id))

    assert (await payments.get(order_id)) == tombstone
    assert (tombstone.method, tombstone.amount) == (None, None)
    with pytest.raises(DomainError) as refused:
        await payments.submit(create(order_id))
    assert refused.value.reason == "PAYMENT_STATE_ILLEGAL"
    assert [kind for kind, *_ in await told(database)] == ["PaymentVoided"]


async def test_create_and_void_of_one_batch_are_both_told_of_in_order(payments: PaymentStore, database: Database):
    order_id = str(uuid4())

    await payments.decide([create(order_id), void(order_id)])

    assert (await payments.get(order_id)).version == 2
    assert [(kind, version) for kind, _, version, _ in await told(database)] == [("PaymentInitiated", 1), ("PaymentVoided", 2)]


async def test_two_processes_that_create_at_once_make_one_payment(payments: PaymentStore, database: Database):
    order_id = str(uuid4())
    other_process = Database(database.url)
    await other_process.open()
    rival = PaymentStore(other_process, lambda: NOW)

    first, second = await meet(database, _LOCK_TABLE, [], payments.submit(create(order_id)), rival.submit(create(order_id)))

    await other_process.close()
    assert first == second == await payments.get(order_id)
    assert len(await told(database)) == 1
