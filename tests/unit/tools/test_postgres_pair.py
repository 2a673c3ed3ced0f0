"""A primary and a standby of PostgreSQL under a supervisor's care, as a full home has them, and somebody who writes all the time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from services.kit.database import Database
from tests.chaos.recovery import until
from tools.child import Child
from tools.processes import Identity
from tools.servers import postgres_pair
from tools.servers.postgres import Postgres
from tools.servers.postgres_member import Member
from tools.servers.postgres_pair import Pair, Step, next_step

BAR = 10.0
"""Seconds after which the other one takes writes."""


class Two:
    """The pair, its processes, and what was written to it."""

    def __init__(self, folder: Path) -> None:
        # A name that nobody else's has: a server is known by it, and what is left of one is killed by it.
        sockets = folder / f"{folder.parent.name}-{folder.name}"
        sockets.mkdir(exist_ok=True)
        self.pair = Pair(folder / "postgres", sockets)
        self.url = Postgres(folder / "postgres", sockets).url()
        self.children = [Child(member, folder / f"{member.name}.log", lambda: None) for member in self.pair.members]
        self.told: set[int] = set()
        """What the writer was told is committed."""
        self._next = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for child in self.children:
            child.start()
        await self.children[0].started()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS written (number int PRIMARY KEY)")
        works = [asyncio.create_task(self.pair.watch(lambda: None)), asyncio.create_task(self._write())]
        try:
            yield
        finally:
            for work in works:
                work.cancel()
            await asyncio.wait(works)
            await asyncio.gather(*(child.stop() for child in self.children))

    async def be_whole(self) -> tuple[Member, Member]:
        """Waits until the standby may take the primary's place; who they are."""
        await until(lambda: self.pair.has_heir and all(child.ready.is_set() for child in self.children), 30)
        return self.pair.primary, self.pair.standby

    async def goes_on(self, seconds: float = BAR) -> None:
        """Waits until something new has been written."""
        before = max(self.told, default=0)
        last = self._next
        await until(lambda: max(self.told, default=0) > max(before, last), seconds)

    def kept(self) -> set[int]:
        with psycopg.connect(self.url) as connection:
            return {number for (number,) in connection.execute("SELECT number FROM written")}

    async def _write(self) -> None:
        while True:
            with suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(self.url, autocommit=True, connect_timeout=2) as connection:
                    while True:
                        self._next += 1
                        number = self._next
                        await connection.execute("INSERT INTO written VALUES (%s)", [number])
                        self.told.add(number)
                        await asyncio.sleep(0.002)
            await asyncio.sleep(0.05)


def send(member: Member, number: signal.Signals) -> None:
    """Signals all of its processes."""
    for identity in member.processes():
        identity.send(number)


def one_of(member: Member, kind: bytes) -> Identity:
    """Its only process of a kind."""
    [found] = [each for each in member.processes() if kind in Path(f"/proc/{each.pid}/cmdline").read_bytes()]
    return found


@pytest.fixture(scope="module")
async def two(short_directory: Path) -> AsyncIterator[Two]:
    folder = short_directory / "pair"
    folder.mkdir()
    two = Two(folder)
    async with two.running():
        yield two


@pytest.mark.parametrize(
    ("is_live", "is_required", "has_heir", "step"),
    [
        (False, False, False, Step.NOTHING),
        (False, True, False, Step.RELEASE),
        (False, True, True, Step.RELEASE),
        (False, False, True, Step.RELEASE),
        (True, False, False, Step.REQUIRE),
        (True, False, True, Step.REQUIRE),
        (True, True, False, Step.CATCH_UP),
        (True, True, True, Step.NOTHING),
    ],
)
def test_the_next_step(is_live: bool, is_required: bool, has_heir: bool, step: Step):
    assert next_step(is_live=is_live, is_required=is_required, has_heir=has_heir) is step


async def test_commits_wait_for_the_standby(two: Two):
    primary, standby = await two.be_whole()

    with psycopg.connect(primary.url()) as connection:
        assert connection.execute("SELECT application_name, sync_state FROM pg_stat_replication").fetchall() == [(standby.tag, "sync")]


async def test_the_standby_takes_the_place_of_a_primary_that_is_killed(two: Two):
    primary, standby = await two.be_whole()
    child = two.children[two.pair.members.index(primary)].snapshot().identity
    assert child is not None

    child.send(signal.SIGKILL)
    await two.goes_on()

    assert two.pair.primary is standby
    assert two.told <= two.kept()


async def test_who_was_killed_comes_back_as_the_standby(two: Two):
    primary, standby = await two.be_whole()
    send(primary, signal.SIGKILL)
    await two.goes_on()

    assert await two.be_whole() == (standby, primary)


async def test_the_standby_takes_the_place_of_a_primary_that_freezes_and_never_writes_again(two: Two):
    primary, standby = await two.be_whole()
    frozen = primary.processes()
    send(primary, signal.SIGSTOP)
    await two.goes_on()
    send(primary, signal.SIGCONT)

    assert two.pair.primary is standby
    assert [identity for identity in frozen if identity.is_alive()] == []
    assert await two.be_whole() == (standby, primary)
    assert two.told <= two.kept()


async def test_writes_go_on_without_the_standby_and_wait_for_it_again(two: Two):
    primary, standby = await two.be_whole()
    send(standby, signal.SIGKILL)
    await two.goes_on()

    assert await two.be_whole() == (primary, standby)


async def test_a_primary_that_dies_without_an_heir_is_the_primary_again(two: Two):
    primary, standby = await two.be_whole()
    send(standby, signal.SIGSTOP)
    await until(lambda: not two.pair.has_heir, BAR)
    await two.goes_on()
    send(primary, signal.SIGKILL)
    send(standby, signal.SIGCONT)
    await two.goes_on()

    assert two.pair.primary is primary
    assert two.told <= two.kept()
    assert await two.be_whole() == (primary, standby)


async def test_nothing_is_lost_when_both_die(two: Two):
    await two.be_whole()
    for member in two.pair.members:
        send(member, signal.SIGKILL)
    await two.goes_on(20)

    assert two.told <= two.kept()
    await two.be_whole()


async def test_a_standby_that_streams_nothing_is_copied_anew(two: Two, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres_pair, "LOST_SECONDS", 2.0)
    primary, standby = await two.be_whole()
    (standby.data / "of the old one").touch()
    one_of(standby, b"walreceiver").send(signal.SIGSTOP)
    one_of(primary, b"walsender").send(signal.SIGTERM)
    await until(lambda: not (standby.data / "of the old one").exists(), 20)

    assert await two.be_whole() == (primary, standby)
    assert two.told <= two.kept()


async def test_nobody_sees_a_commit_that_was_given_up_while_it_waits_for_the_standby(two: Two):
    _, standby = await two.be_whole()
    database = Database(two.url)
    await database.open()
    send(standby, signal.SIGSTOP)

    async def write() -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO written VALUES (-1)")

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    seen_early = -1 in two.kept()
    send(standby, signal.SIGCONT)
    await until(lambda: -1 in two.kept(), BAR)
    await database.close()

    assert not seen_early


async def test_somebody_may_decide_who_is_the_primary_from_the_next_start_on(folder: Path):
    before = Two(folder)
    async with before.running():
        await before.be_whole()
        await before.goes_on()
    (folder / "postgres" / "primary").write_text("postgres-2\n")
    after = Two(folder)
    async with after.running():
        primary, _ = await after.be_whole()

        assert primary.name == "postgres-2"
        assert before.told <= after.kept()
