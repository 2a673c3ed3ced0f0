"""One of a pair of PostgreSQL servers: how it becomes the primary, and how it becomes the other one's copy."""

from __future__ import annotations

import math
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from tools.processes import Identity, started_as, wait_gone
from tools.servers import StartFailed
from tools.servers.postgres import Postgres

if TYPE_CHECKING:
    from tools.servers.postgres_pair import Pair

PROMOTION_SECONDS = 5
"""How long a promotion may take."""

SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "4",
    # For the one that comes back: what the other one has written since, and what pg_rewind looks for.
    "wal_keep_size": "256MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "500ms",
    "recovery_init_sync_method": "syncfs",
}
# One sync of the disk in the place of one for each of thousands of files: the primary's commits would wait for those.
RETURNING = ("--write-recovery-conf", "--sync-method=syncfs")


class Member(Postgres):
    """One of the two."""

    def __init__(self, pair: Pair, name: str, directory: Path, sockets: Path, passfile: Path | None) -> None:
        super().__init__(directory, sockets, SETTINGS, passfile)
        self.name, self.role = name, "standby"
        self.tag = f"{sockets.parent.name}-{name}"
        """What PostgreSQL calls it, to the other one and in the titles of its processes."""
        self.is_lost = False
        """It can't follow with what it has."""
        self.prepared_at = math.inf
        """When it was last made ready to start (monotonic seconds)."""
        self._pair = pair

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "cluster_name": self.tag, "primary_conninfo": self._pair.other(self).url()}

    def prepare(self) -> None:
        """Makes sure that nothing of it runs any more, and makes it what it is to be: the primary, or the other one's copy."""
        self.prepared_at = math.inf
        self.fence()
        if self._pair.primary is self:
            self._pair.succeed()
        if self._pair.primary is not self:
            self._follow()
        super().prepare()
        # What commits wait for is said anew.
        (self.data / "postgresql.auto.conf").write_text("")
        self.prepared_at = time.monotonic()

    def ready(self) -> bool:
        """Whether it takes writes, or has those of the one that does."""
        return self.leads() if self._pair.primary is self else self._streams()

    def is_up(self) -> bool:
        """Whether it can be asked."""
        return super().ready()

    def leads(self) -> bool:
        """Whether it takes writes; has it do so when it is the primary by now and not yet promoted. Then everybody finds it."""
        try:
            with psycopg.connect(self.url(), autocommit=True, connect_timeout=2) as connection:
                if value(connection, "SELECT pg_is_in_recovery()"):
                    return value(connection, "SELECT pg_promote(true, %s)", PROMOTION_SECONDS) and self.leads()
        except psycopg.OperationalError:
            return False
        self._pair.show()
        return True

    def fence(self) -> None:
        """Kills all of it: a process of a server whose first one is dead may still finish what it does."""
        while left := self.processes():
            for identity in left:
                identity.send(signal.SIGKILL)
            wait_gone(left, 5)

    def processes(self) -> list[Identity]:
        """All of it, whoever is their parent by now."""
        return started_as((f"postgres: {self.tag}: ".encode(), "\0".join([*self.command, ""]).encode()))

    def _streams(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                return value(connection, "SELECT count(*) > 0 FROM pg_stat_wal_receiver WHERE status = 'streaming'")
        except psycopg.OperationalError:
            return False

    def _follow(self) -> None:
        if (self.data / "standby.signal").exists() and not self.is_lost:
            return
        self._pair.await_primary()
        source = self._pair.primary.url()
        if not self._rewound(source):
            self._copy(source)
        self.is_lost = False

    def _rewound(self, source: str) -> bool:
        """Undoes what it wrote after the other one took its place; False when it has to be copied as a whole."""
        unfinished = self.data.with_name("data.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        if self.is_lost or not self.data.exists():
            return False
        self.data.rename(unfinished)
        try:
            self.run("pg_rewind", *RETURNING, f"--target-pgdata={unfinished}", f"--source-server={source}")
        except StartFailed as failure:
            print(f"{self.name} is copied as a whole: {failure}", file=sys.stderr, flush=True)
            return False
        unfinished.rename(self.data)
        return True

    def _copy(self, source: str) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        unfinished = self.new_folder()
        self.run("pg_basebackup", *RETURNING, "--checkpoint=fast", f"--pgdata={unfinished}", f"--dbname={source}")
        unfinished.rename(self.data)


def value(connection: psycopg.Connection, question: LiteralString, *parameters: Any) -> Any:
    """What a question of one row and one column is answered with."""
    row = connection.execute(question, parameters).fetchone()
    assert row is not None
    return row[0]
