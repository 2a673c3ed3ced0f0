"""What each service of a mesh opens servers with: its own data and its own secrets, and nobody else's."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.home import Home, write_private
from tools.servers.postgres import Postgres
from tools.servers.postgres_pair import Pair

SUPERUSER, BUS = "postgres", "bazaar_events"
"""Roles of PostgreSQL that no service has."""

REDIS_KEYS = {"inventory": ("stock:*",), "ranking": ("rank:*",), "search": ("search:*",), "users": ("attempts:*", "rate:*")}
"""The keys in Redis that are a service's."""

MONGO_DATABASES = {"catalog": "bazaar_catalog"}

SECRETS = {
    "cart": ("pages.json",),
    "catalog": ("pages.json",),
    "inventory": ("pages.json",),
    "orders": ("pages.json",),
    "payments": ("sandbox.json", "sandbox_key"),
    "pricing": ("quote.json",),
    "search": ("pages.json",),
    "users": ("jwt.json", "admin_password"),
}
"""The files that a service reads."""


def role_of(service: str) -> str:
    """A service's role in PostgreSQL; its database has the same name."""
    return f"bazaar_{service}"


@dataclass(frozen=True)
class Credentials:
    """The passwords of one home, by role of PostgreSQL; a service has the same one everywhere."""

    folder: Path
    passwords: Mapping[str, str]

    @classmethod
    def made(cls, home: Home, services: Iterable[str]) -> Credentials:
        """The home's own; makes what is missing, and the files that services read."""
        folder = home.folder("mesh")
        file = folder / "passwords.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        roles = [SUPERUSER, BUS, *map(role_of, services)]
        passwords = {role: known.get(role) or secrets.token_urlsafe(24) for role in roles}
        if passwords != known:
            write_private(file, json.dumps(passwords))
        own = cls(folder, passwords)
        write_private(own.passfile(), "".join(_line(role, password) for role, password in passwords.items()))
        for service in services:
            own._give(service, home.folder("secrets"))
        return own

    def of(self, service: str) -> str:
        """A service's password."""
        return self.passwords[role_of(service)]

    def passfile(self, service: str = "") -> Path:
        """Where libpq finds a service's password, or without a service everyone's, for the tools."""
        return self._own(service) / "pgpass" if service else _passfile(self.folder)

    def secrets(self, service: str) -> Path:
        """The folder of a service's secrets."""
        return self._own(service) / "secrets"

    def _own(self, service: str) -> Path:
        return self.folder / "services" / service

    def _give(self, service: str, vault: Path) -> None:
        self.secrets(service).mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.passfile(service), _line(role_of(service), self.of(service)))
        for name in SECRETS.get(service, ()):
            link = self.secrets(service) / name
            link.unlink(missing_ok=True)
            # A link, so that a secret that is rotated is so for everybody who reads it.
            link.symlink_to(vault / name)


def postgres_of(home: Home) -> Postgres:
    """The home's PostgreSQL, for who may do everything."""
    return Postgres(home.folder("postgres"), home.sockets, passfile=_everyone(home))


def postgres_pair_of(home: Home) -> Pair:
    """The two servers of a full home, the primary of which is where `postgres_of` says."""
    return Pair(home.folder("postgres"), home.sockets, _everyone(home))


def _everyone(home: Home) -> Path | None:
    """Everyone's passwords, where there are any."""
    passfile = _passfile(home.folder("mesh"))
    return passfile if passfile.exists() else None


def _passfile(folder: Path) -> Path:
    return folder / "pgpass"


def _line(role: str, password: str) -> str:
    return f"*:*:*:{role}:{password}\n"
