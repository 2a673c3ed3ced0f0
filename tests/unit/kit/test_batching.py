import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from services.kit.batching import Coalescer
from services.kit.database import Database
from services.kit.errors import DeadlineExceeded, Overloaded, Unavailable
from services.kit.telemetry import tracing
from tests.conftest import TestPostgres
from tests.spans import recorded


class Work:
    """Notes its batches; answers each item with its position in the batch. A gate holds a batch in flight."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.started = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        self.started.release()
        await self.gate.wait()
        return [f"{item}:{position}" for position, item in enumerate(items)]

    async def hold(self, coalescer: Coalescer[str, str]) -> asyncio.Task[str]:
        """Puts a batch of the one item "first" in flight and keeps it there until the gate opens."""
        self.gate.clear()
        first = asyncio.create_task(coalescer.submit("first"))
        await self.started.acquire()
        return first


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def coalescer(work: Work) -> Coalescer[str, str]:
    return Coalescer("test", work)


def submit(coalescer: Coalescer[str, str], *items: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(coalescer.submit(item)) for item in items]


async def settle() -> None:
    """Lets tasks that can run do so until they wait for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_item_that_finds_nothing_in_flight_leaves_at_once(coalescer: Coalescer[str, str], work: Work):
    assert await coalescer.submit("a") == "a:0"
    assert work.batches == [["a"]]


async def test_outcomes_go_to_their_callers_in_the_order_of_arrival(coalescer: Coalescer[str, str], work: Work):
    assert await asyncio.gather(*submit(coalescer, "c", "a", "b")) == ["c:0", "a:1", "b:2"]
    assert work.batches == [["c", "a", "b"]]


async def test_the_next_batch_collects_while_one_commits(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    others = submit(coalescer, "a", "b")
    await settle()
    others += submit(coalescer, "c")
    await settle()
    assert work.batches == [["first"]]
    work.gate.set()

    assert await asyncio.gather(first, *others) == ["first:0", "a:0", "b:1", "c:2"]
    assert work.batches == [["first"], ["a", "b", "c"]]


async def test_without_a_turn_a_batch_waits_for_nobody_however_much_is_under_way(work: Work):
    coalescer = Coalescer("test", work, turn=0)
    await work.hold(coalescer)
    submit(coalescer, "a", "b", "c", "d")
    await settle()
    work.gate.set()
    await settle()

    assert work.batches == [["first"], ["a", "b", "c", "d"]]


async def test_what_takes_no_turns_makes_nobody_wait_for_company(coalescer: Coalescer[str, str], work: Work):
    reading = Work()
    reads = Coalescer("reads", reading, turn=0)
    await reading.hold(reads)
    submit(reads, "a", "b", "c")
    await coalescer.submit("d")
    submit(coalescer, "e")
    await settle()
    reading.gate.set()

    assert work.batches == [["d"], ["e"]]


async def test_a_batch_is_bounded(work: Work):
    coalescer = Coalescer("test", work, max_batch=2)
    await asyncio.gather(*submit(coalescer, "a", "b", "c"))

    assert work.batches == [["a", "b"], ["c"]]


async def test_a_full_queue_refuses_at_once(work: Work):
    coalescer = Coalescer("test", work, max_queue=2)
    first = await work.hold(coalescer)
    waiting = submit(coalescer, "a", "b")
    await settle()

    with pytest.raises(Overloaded) as caught:
        await coalescer.submit("c")
    work.gate.set()

    assert caught.value.metadata == {"queue": "test"}
    assert await asyncio.gather(first, *waiting) == ["first:0", "a:0", "b:1"]


async def test_one_poison_item_among_100_gets_the_exception_alone():
    runs: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        runs.append(len(items))
        if 37 in items:
            raise ZeroDivisionError
        return [item * 2 for item in items]

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(*[coalescer.submit(number) for number in range(100)], return_exceptions=True)

    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ZeroDivisionError)] == [37]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [number * 2 for number in range(100) if number != 37]
    assert runs == [100, 50, 25, 25, 12, 13, 6, 3, 1, 2, 3, 7, 50]


async def test_halves_run_in_the_order_of_arrival():
    decided: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        if 0 in items and len(items) > 1:
            raise ZeroDivisionError
        decided.extend(items)
        return list(items)

    coalescer = Coalescer("test", work)
    await asyncio.gather(*[coalescer.submit(number) for number in range(8)])

    assert decided == list(range(8))


async def test_the_batch_goes_on_when_all_its_callers_are_cancelled_while_it_runs(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    first.cancel()
    await settle()
    later = submit(coalescer, "later")
    await settle()
    assert work.batches == [["first"]]
    work.gate.set()

    assert await later[0] == "later:0"
    assert first.cancelled()
    assert work.batches == [["first"], ["later"]]


async def test_one_callers_cancellation_leaves_the_others_outcomes(coalescer: Coalescer[str, str], work: Work):
    work.gate.clear()
    callers = submit(coalescer, "a", "b", "c")
    await work.started.acquire()
    callers[1].cancel()
    work.gate.set()

    assert await asyncio.gather(callers[0], callers[2]) == ["a:0", "c:2"]


async def test_an_item_whose_caller_left_before_the_batch_is_not_decided(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    gone, stays = submit(coalescer, "gone", "stays")
    await settle()
    gone.cancel()
    work.gate.set()

    assert await asyncio.gather(first, stays) == ["first:0", "stays:0"]
    assert work.batches == [["first"], ["stays"]]


async def test_an_item_past_its_deadline_is_dropped_before_its_batch_starts(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    late = asyncio.create_task(coalescer.submit("late", deadline=time.monotonic()))
    in_time = asyncio.create_task(coalescer.submit("in time", deadline=time.monotonic() + 60))
    await settle()
    work.gate.set()

    with pytest.raises(DeadlineExceeded):
        await late
    assert await asyncio.gather(first, in_time) == ["first:0", "in time:0"]
    assert work.batches == [["first"], ["in time"]]


async def test_items_of_one_key_do_not_share_a_batch(work: Work):
    coalescer = Coalescer("test", work, key=lambda item: item[0])
    await asyncio.gather(*submit(coalescer, "a1", "b1", "a2", "a3", "c1"))

    assert work.batches == [["a1", "b1", "c1"], ["a2"], ["a3"]]


class LosesTheAnswerToCommit:
    """Stands between a client and PostgreSQL; the first COMMIT reaches the server and its answer never comes back."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._has_lost_one = False

    async def __call__(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(self._forward(server, to_client))
        while data := await client.read(65536):
            is_lost = not self._has_lost_one and b"COMMIT" in data
            if is_lost:
                self._has_lost_one = True
                answers.cancel()
                await asyncio.wait([answers])
            to_server.write(data)
            if is_lost:
                assert b"COMMIT" in await server.read(65536)
                break
        to_server.close()
        to_client.close()

    @staticmethod
    async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)


async def test_after_a_connection_lost_at_commit_the_second_run_finds_by_key_what_the_first_one_did(
    postgres: TestPostgres, database_url: str, short_directory: Path
):
    proxied = short_directory / "proxy"
    proxied.mkdir()
    proxy = await asyncio.start_unix_server(LosesTheAnswerToCommit(postgres.sockets / ".s.PGSQL.5432"), proxied / ".s.PGSQL.5432")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE decided (item text PRIMARY KEY, run int)")
    database = Database(database_url.replace(str(postgres.sockets), str(proxied)))
    await database.open()
    runs = 0

    async def work(items: Sequence[str]) -> list[int]:
        nonlocal runs
        runs += 1
        async with database.transaction() as tx:
            await tx.execute(
                "INSERT INTO decided SELECT item, %s FROM unnest(%s::text[]) AS item ON CONFLICT DO NOTHING", [runs, list(items)]
            )
            rows = await (await tx.execute("SELECT item, run FROM decided")).fetchall()
        return [{row["item"]: row["run"] for row in rows}[item] for item in items]

    coalescer = Coalescer("test", work)

    assert await asyncio.gather(coalescer.submit("a"), coalescer.submit("b")) == [1, 1]
    assert runs == 2
    await database.close()
    proxy.close()


async def test_when_the_database_stays_away_everybody_is_told_after_two_runs_and_nothing_is_halved():
    runs: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        runs.append(len(items))
        raise Unavailable("the database is away")

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(*[coalescer.submit(number) for number in range(8)], return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 8
    assert len({id(outcome) for outcome in outcomes}) == 8
    assert runs == [8, 8]


async def test_work_that_loses_an_outcome_fails_its_batch_and_not_the_next():
    async def work(items: Sequence[int]) -> list[int]:
        return [item for item in items if item]

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(coalescer.submit(0), coalescer.submit(1), return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == ["test: 1 outcomes came back for 2 items"] * 2
    assert await coalescer.submit(2) == 2


async def test_a_batch_and_its_callers_link_each_other(coalescer: Coalescer[str, str]):
    async def call(item: str) -> None:
        with tracing.span(f"call {item}"):
            await coalescer.submit(item)

    with recorded() as spans:
        await asyncio.gather(call("a"), call("b"))

        batch, callers = spans.named("batch test"), [spans.named("call a"), spans.named("call b")]
    assert batch.parent is None
    assert [link.context for link in batch.links] == [caller.context for caller in callers]
    assert [[link.context for link in caller.links] for caller in callers] == [[batch.context]] * 2
    assert batch.attributes == {"bazaar.batch.size": 2}


async def test_a_batch_whose_callers_are_not_traced_is_not_traced(coalescer: Coalescer[str, str]):
    with recorded() as spans:
        await coalescer.submit("a")

        assert spans.all == []
