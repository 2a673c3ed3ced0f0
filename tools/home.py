"""The folder that holds one Bazaar: its servers' data, logs, secrets, traces, and what is running now."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tools import ROOT, ExpectedFailure
from tools.processes import Identity

DEFAULT = ROOT / ".bazaar"
NEEDED_BYTES = 512 * 1024 * 1024
"""Fresh clusters take 250 MB (PostgreSQL's write-ahead log, MongoDB's journal); below this they would fail halfway."""

LOG_BYTES = 10 * 2**20

FOLDERS = ("postgres", "redis", "mongo", "envoy", "sandbox", "search", "logs", "secrets", "traces")
Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True)
class ProcessState:
    """One of Bazaar's processes, as `status` shows it."""

    name: str
    role: str
    address: str
    state: str
    identity: Identity | None = None


@dataclass(frozen=True)
class State:
    """What runs in a home; written by its supervisor."""

    phase: Phase
    supervisor: Identity
    edge: str = ""
    """The edge's URL."""
    sockets: str = ""
    processes: Sequence[ProcessState] = field(default_factory=list)
    buses: Sequence[str] = field(default_factory=list)
    """The engines of the event bus that are ready for use: first the one that every worker uses, then one that is to take its place."""
    looks: int = 0
    """How often the supervisor has looked again which event bus the home has, and has done what that takes."""
    trouble: str = ""
    """Why it could not be done the last time; empty when it could."""

    def is_running(self) -> bool:
        """Whether the supervisor that wrote this is still there."""
        return self.supervisor.is_alive()


class Home:
    """The paths of a home, and the file that says what runs there."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = (path or DEFAULT).expanduser().absolute()

    def folder(self, name: str) -> Path:
        return self.path / name

    def log(self, process: str) -> Path:
        """Where the process's output goes."""
        return self.path / "logs" / f"{process}.log"

    @property
    def ports(self) -> Path:
        """The file of the TCP ports that its servers listen on, by name."""
        return self.path / "ports.json"

    @property
    def sockets(self) -> Path:
        """A short private directory for unix sockets (a path ends at 107 bytes), always the same for this home."""
        digest = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:8]
        return Path(f"/tmp/bazaar-{digest}-{os.getuid()}")

    def prepare(self) -> None:
        """Makes the folders.

        Raises:
            ExpectedFailure: no permission, a full disk, or somebody else owns the socket directory.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in FOLDERS:
                self.folder(name).mkdir(exist_ok=True, mode=0o700)
            self.sockets.mkdir(exist_ok=True, mode=0o700)
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise ExpectedFailure(f"cannot use {self.path} as home: {error.strerror} ({error.filename})") from error
        if free < NEEDED_BYTES:
            raise ExpectedFailure(f"{self.path} has {free // 2**20} MiB of disk space left, and Bazaar needs {NEEDED_BYTES // 2**20}")
        owner = self.sockets.lstat()
        if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise ExpectedFailure(f"{self.sockets} is not a private directory of yours; remove it")

    def lock(self, name: str = "lock") -> int | None:
        """Takes the home for this process's life; None when another process has it. The kernel gives it back, whatever happens.

        Args:
            name: `moving` is the lock of who moves its events; it is had beside the other one.
        """
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def write_state(self, state: State) -> None:
        """Replaces the state as a whole, so that a reader never sees half of it."""
        write_private(self.path / "state.json", json.dumps(asdict(state), indent=1))

    def read_state(self) -> State | None:
        """What the last supervisor wrote; None when nothing ever ran here.

        Raises:
            ExpectedFailure: the home may not be read.
        """
        try:
            raw = json.loads((self.path / "state.json").read_text())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ExpectedFailure(f"cannot read {self.path}: {error.strerror}") from error
        processes = [ProcessState(**{**each, "identity": _identity(each["identity"])}) for each in raw.pop("processes")]
        return State(**{**raw, "supervisor": Identity(**raw["supervisor"]), "processes": processes})


def _identity(raw: dict | None) -> Identity | None:
    return Identity(**raw) if raw else None


def rotate(log: Path) -> None:
    """Keeps one older part of a log that has grown past 10 MiB. The writer goes on at the start: it opened the file to append."""
    if log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
