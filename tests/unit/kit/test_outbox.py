from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from psycopg.rows import DictRow

from bazaar.orders.v1.events_pb2 import OrderCancelled, OrderEvent, OrderPlaced
from services.kit import outbox
from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.telemetry import tracing
from tests.spans import recorded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


def placed(order_id: str, version: int = 1) -> Event:
    message = OrderEvent(order_placed=OrderPlaced(order_id=order_id))
    return outbox.event(topic="orders", key=order_id, subject=order_id, aggregate_version=version, message=message, occurred_at=NOON)


async def rows(database: Database) -> list[DictRow]:
    async with database.connection() as connection:
        return await (await connection.execute("SELECT * FROM outbox ORDER BY id")).fetchall()


def test_an_event_names_what_happened_and_who_says_so():
    event = placed("o1", version=3)

    assert (event.type, event.source, event.subject, event.aggregate_version) == ("bazaar.orders.v1.OrderPlaced", "orders", "o1", 3)
    assert OrderEvent.FromString(event.payload).order_placed.order_id == "o1"


def test_an_event_carries_the_running_spans_context():
    with recorded(), tracing.span("work"):
        assert placed("o1").traceparent == tracing.current_traceparent() != ""


def test_an_event_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match=r"no member of bazaar\.orders\.v1\.OrderEvent is set"):
        outbox.event(topic="orders", key="o1", subject="o1", aggregate_version=1, message=OrderEvent())


def test_a_message_that_is_no_wrapper_is_refused():
    with pytest.raises(ValueError, match=r"bazaar\.orders\.v1\.OrderPlaced is not an event wrapper"):
        outbox.event(topic="orders", key="o1", subject="o1", aggregate_version=1, message=OrderPlaced())


async def test_events_are_kept_whole_and_in_order(database: Database):
    cancelled = OrderEvent(order_cancelled=OrderCancelled(order_id="o1"))
    events = [placed("o1"), outbox.event(topic="orders", key="o1", subject="o1", aggregate_version=2, message=cancelled)]
    async with database.transaction() as tx:
        outbox.append(tx, events)

    kept = [
        Event(row["event_id"], **{name: value for name, value in row.items() if name not in ("id", "event_id")})
        for row in await rows(database)
    ]
    assert kept == events


async def test_many_events_are_one_statement(database: Database):
    with recorded() as spans, tracing.span("work"):
        async with database.transaction() as tx:
            outbox.append(tx, [placed(f"o{number}") for number in range(100)])

        assert [span.name for span in spans.all] == ["INSERT outbox; COMMIT"]
    assert [row["key"] for row in await rows(database)] == [f"o{number}" for number in range(100)]


async def test_an_event_goes_with_the_change_when_it_rolls_back(database: Database):
    async def fail() -> None:
        async with database.transaction() as tx:
            outbox.append(tx, [placed("o1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await rows(database) == []
    assert not database.outbox_committed.is_set()


async def test_the_commit_of_an_event_wakes_the_relay(database: Database):
    async with database.transaction() as tx:
        outbox.append(tx, [placed("o1")])
        assert not database.outbox_committed.is_set()

    assert database.outbox_committed.is_set()


async def test_a_commit_without_events_wakes_nobody(database: Database):
    async with database.transaction() as tx:
        outbox.append(tx, [placed("o1")])
    database.outbox_committed.clear()
    async with database.transaction() as tx:
        outbox.append(tx, [])

    assert not database.outbox_committed.is_set()
