"""What a home is from its first start on: its data are laid out for that, so that it stays so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools import ExpectedFailure
from tools.home import Home, write_private


@dataclass(frozen=True)
class Profile:
    """One way in which a home can differ from others.

    Args:
        name: of a home that is so, in its file and among a supervisor's arguments.
        file: where a home notes it.
        otherwise: what it notes when it isn't so.
        refusal: what is said of a home that isn't so, when it is to become so.
    """

    name: str
    file: str
    otherwise: str
    refusal: str

    def choose(self, home: Home, is_wanted: bool) -> bool:
        """Whether the home is to be started so: what it is already, or for a new home what is wanted.

        Raises:
            ExpectedFailure: it isn't so, and can't become so.
        """
        own = self._noted(home)
        if is_wanted and own == self.otherwise:
            raise ExpectedFailure(f"{home.path} {self.refusal}, and stays as it was first started; --home names another home")
        return is_wanted or own == self.name

    def remember(self, home: Home, is_so: bool) -> None:
        """Notes what the home is from now on."""
        write_private(self._path(home), f"{self.name if is_so else self.otherwise}\n")

    def _noted(self, home: Home) -> str | None:
        """None before the first start."""
        try:
            return self._path(home).read_text().strip()
        except FileNotFoundError:
            # Homes used to have nothing to choose from.
            return self.otherwise if home.folder("postgres").joinpath("data").exists() else None

    def _path(self, home: Home) -> Path:
        return home.path / self.file


MESH = Profile("mesh", "profile", "embedded", "is no mesh")
"""A process a service, and a credential for each."""
FULL = Profile("full", "servers", "single", "has one server of each kind")
"""Several PostgreSQL, Redis and MongoDB servers that take each other's places, Pulsar and OpenSearch."""
