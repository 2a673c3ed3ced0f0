"""A primary of PostgreSQL, and a standby that has all that was committed and takes its place.

The supervisor decides, as the one process that starts and ends servers. There is an *heir* while the standby is known to have whatever a
client was told is committed.

- While there is an heir, commits wait until it has them. When it goes away it is no heir any more, and only then commits stop to wait.
  Once it is back and they wait again, it is an heir as soon as it has all that was committed before.
- A primary that lets nobody in for three seconds, while the heir does, is killed.
- Of a primary that is dead, down to its last process, the heir takes the place; without an heir it starts again where it was. What has lost
  its place comes back as the standby.

So no two servers take writes at a time, and what was answered is on the one that does.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import psycopg
from psycopg import sql

from tools.home import write_private
from tools.servers import StartFailed
from tools.servers.postgres import SOCKET
from tools.servers.postgres_member import Member, value

LOOK_EVERY, POLL = 1.0, 0.05
PATIENCE = 3
"""Seconds without a word: from the primary to who asks to be let in, from the standby to the primary."""
LOST_SECONDS = 60.0
"""A standby that runs, and streams nothing for so long, never will: the primary has dropped what it would need next."""
PRIMARY_SECONDS = 20.0
"""How long the other one waits for the primary to take writes."""

_STANDING = """
SELECT current_setting('synchronous_standby_names') <> '', count(*) > 0,
       coalesce(bool_or(state = 'streaming' AND clock_timestamp() - reply_time < %s * interval '1 s'), false)
FROM pg_stat_replication WHERE application_name = %s
"""
_HAS = "SELECT coalesce(bool_or(flush_lsn >= %s::pg_lsn), false) FROM pg_stat_replication WHERE application_name = %s"


class Step(Enum):
    """What there is to do about the standby."""

    NOTHING = auto()
    RELEASE = auto()
    """Commits are not to wait for it."""
    REQUIRE = auto()
    """Commits are to wait for it."""
    CATCH_UP = auto()
    """It is the heir as soon as it has what was committed before."""


def next_step(*, is_live: bool, is_required: bool, has_heir: bool) -> Step:
    """What to do next.

    Args:
        is_live: the standby receives what the primary writes, and was heard of.
        is_required: commits wait for it.
        has_heir: it may take the primary's place.
    """
    if not is_live:
        return Step.RELEASE if is_required or has_heir else Step.NOTHING
    if not is_required:
        return Step.REQUIRE
    return Step.NOTHING if has_heir else Step.CATCH_UP


class Pair:
    """The two, the first of which begins as the primary.

    Args:
        directory: where their data are, and who is the primary (`primary`).
        sockets: where each has a folder for its own socket; the socket in it is the primary's. Its name is nobody else's on this machine:
            what is left of a server is known by it.
        passfile: as for `Postgres`.
    """

    def __init__(self, directory: Path, sockets: Path, passfile: Path | None = None) -> None:
        self._file = directory / "primary"
        self._sockets = sockets
        folders = {"postgres-1": directory, "postgres-2": directory / "2"}
        self.members = [Member(self, name, folder, sockets / name, passfile) for name, folder in folders.items()]
        self.primary = self._noted()
        self.has_heir = False
        """Whether the standby is one. Not known from an earlier run: it is found out anew."""
        self._give_roles(has_heir=False)
        self._seen_at = -math.inf
        self._lock = threading.Lock()
        """Held while it is decided who is the primary, or what commits wait for."""

    @property
    def standby(self) -> Member:
        return self.other(self.primary)

    def other(self, member: Member) -> Member:
        return self.members[1 - self.members.index(member)]

    async def watch(self, changed: Callable[[], None]) -> None:
        """Looks after the two, for ever.

        Args:
            changed: called when there is an heir, and when there is none any more.
        """
        await asyncio.gather(_every(LOOK_EVERY, self._guard), self._tell(changed), _every(LOOK_EVERY, self._care))

    def succeed(self) -> None:
        """Decides who is the primary, now that the one that was is dead. The heir isn't waited for: it may be frozen itself."""
        with self._lock:
            if self.has_heir and self.standby.is_up():
                self._note(self.standby)
            self._give_roles(has_heir=False)

    def await_primary(self) -> None:
        """Waits for the primary to take writes.

        Raises:
            StartFailed: it still doesn't.
        """
        give_up = time.monotonic() + PRIMARY_SECONDS
        while not self.primary.leads():
            if time.monotonic() > give_up:
                raise StartFailed(f"{self.primary.name} takes no writes, and without it {self.standby.name} can't follow")
            time.sleep(POLL)

    def show(self) -> None:
        """Has everybody find the primary."""
        # Both of the two may get here at once.
        new = self._sockets / f"{SOCKET}.{threading.get_ident()}"
        new.unlink(missing_ok=True)
        new.symlink_to(self.primary.sockets / SOCKET)
        new.replace(self._sockets / SOCKET)

    async def _tell(self, changed: Callable[[], None]) -> None:
        told = self.has_heir
        while True:
            await asyncio.sleep(POLL)
            if told is not self.has_heir:
                told = self.has_heir
                changed()

    def _guard(self) -> None:
        primary, heir = self.primary, self.standby
        # On a machine that is only slow the heir would be too; and one without an heir is replaced like everything else.
        if not primary.answers(PATIENCE) and self.has_heir and heir.is_up():
            primary.fence()

    def _care(self) -> None:
        # A primary that freezes meanwhile is killed, and one that is dead has ended this.
        with suppress(psycopg.Error), self._lock, psycopg.connect(self.primary.url(), autocommit=True) as connection:
            standby = self.standby
            is_required, is_there, is_live = connection.execute(_STANDING, [PATIENCE, standby.tag]).fetchone() or (False, False, False)
            match next_step(is_live=is_live, is_required=is_required, has_heir=self.has_heir):
                case Step.RELEASE:
                    self._give_roles(has_heir=False)
                    _require(connection, "")
                case Step.REQUIRE:
                    _require(connection, f'"{standby.tag}"')
                case Step.CATCH_UP:
                    self._give_roles(has_heir=_has_all(connection, standby.tag))
                case Step.NOTHING:
                    pass
            if is_there:
                self._seen_at = time.monotonic()
            elif time.monotonic() - max(self._seen_at, standby.prepared_at) > LOST_SECONDS:
                standby.is_lost = True
                standby.fence()

    def _noted(self) -> Member:
        name = self._file.read_text().strip() if self._file.exists() else ""
        return next((member for member in self.members if member.name == name), self.members[0])

    def _note(self, primary: Member) -> None:
        write_private(self._file, f"{primary.name}\n")
        for path in (self._file, self._file.parent):
            # Before it is promoted: after a power cut the other one must not begin where it left off.
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        self.primary = primary

    def _give_roles(self, *, has_heir: bool) -> None:
        self.has_heir = has_heir
        self.primary.role, self.standby.role = "primary", "heir" if has_heir else "standby"


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
        except Exception as error:
            # Whatever it is: nobody would look after the two any more.
            print(f"the look at PostgreSQL's primary and standby failed: {error}", file=sys.stderr, flush=True)
        await asyncio.sleep(seconds)


def _require(connection: psycopg.Connection, standby: str) -> None:
    """Has commits wait for the standby of that name, or for none."""
    connection.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(standby))
    connection.execute("SELECT pg_reload_conf()")


def _has_all(connection: psycopg.Connection, standby: str) -> bool:
    """Whether the standby has all that was committed up to now, where a connection made since knows that commits are to wait for it."""
    # They do once the checkpointer has heard of it, and it listens before it begins anything.
    connection.execute("CHECKPOINT")
    position = value(connection, "SELECT pg_current_wal_flush_lsn()::text")
    give_up = time.monotonic() + PATIENCE
    while not (has := value(connection, _HAS, position, standby)) and time.monotonic() < give_up:
        time.sleep(POLL)
    return has
