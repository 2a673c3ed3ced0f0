"""What traces tell of statements."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from services.kit.database import Database
from services.kit.statements import summary
from services.kit.telemetry import tracing
from tests.spans import recorded
from tests.unit.kit.pens import colours, pens_in


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with pens_in(database_url) as database:
        yield database


async def test_a_statement_is_a_client_span_without_its_parameters(database: Database):
    with recorded() as spans, tracing.span("work"):
        async with database.transaction() as tx:
            await tx.execute("UPDATE pens SET colour = %s WHERE id = %s", ["secret", 1])

        update = spans.named("UPDATE pens")
    assert update.kind is tracing.SpanKind.CLIENT
    assert update.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": database.url.split("@/")[1].split("?")[0],
        "db.query.summary": "UPDATE pens",
    }


async def test_statements_and_the_commit_are_children_of_the_running_span(database: Database):
    with recorded() as spans:
        with tracing.span("work"):
            async with database.transaction() as tx:
                await tx.execute("UPDATE pens SET colour = 'green'")

        assert [span.name for span in spans.all] == ["UPDATE pens", "COMMIT", "work"]
        assert [spans.parent_of("UPDATE pens"), spans.parent_of("COMMIT")] == ["work", "work"]


async def test_a_refused_statement_marks_its_span_by_sqlstate_alone(database: Database):
    with recorded() as spans, tracing.span("work"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with database.connection() as connection:
                await connection.execute("INSERT INTO pens VALUES (1, 'red')")

        assert spans.named("INSERT pens").status.description == "UniqueViolation: 23505"


async def test_a_statement_outside_a_trace_makes_none(database: Database):
    with recorded() as spans:
        assert await colours(database) == ["red", "blue"]

        assert spans.all == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM orders WHERE id = %s FOR UPDATE SKIP LOCKED", "SELECT orders"),
        ("select count(*)\n  from orders_by_day join users using (id)", "SELECT orders_by_day"),
        ("INSERT INTO orders (id) VALUES (%s) ON CONFLICT (id) DO UPDATE SET n = 1", "INSERT orders"),
        ("WITH due AS (SELECT id FROM orders FOR UPDATE) UPDATE orders SET n = 1 FROM due", "UPDATE orders"),
        ("WITH gone AS (DELETE FROM holds RETURNING sku) SELECT * FROM gone", "DELETE holds"),
        ("SELECT pg_notify('a', '')", "SELECT pg_notify"),
        ("SELECT * FROM unnest(%s::text[]) AS wanted JOIN balances USING (sku)", "SELECT balances"),
        ("SET LOCAL lock_timeout = '1s'", "SET"),
        ("SELECT 1", "SELECT"),
    ],
)
def test_a_statement_is_summed_up_as_verb_and_main_table(statement: str, expected: str):
    assert summary(statement) == expected
