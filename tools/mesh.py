"""The mesh of one home: a process a service, every call through Envoy, and a credential for each."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mesh.local.authority import RENEWED_AFTER, Authority
from mesh.local.identities import PREFIX
from mesh.local.places import Places
from mesh.local.rules import write_rules
from services.kit.auth import Policy, PolicyInvalid
from tools import ROOT, ExpectedFailure, certificates
from tools.credentials import MONGO_DATABASES, REDIS_KEYS, Credentials
from tools.home import Home
from tools.servers import Program, mongo

LOOK_SECONDS = 0.25
"""How often the policy is looked at."""


def services() -> list[str]:
    """Every service there is."""
    return sorted(file.parent.name for file in (ROOT / "services").glob("*/service.py") if file.parent.name != "kit")


class Mesh:
    """Identities, rules and credentials of one home."""

    def __init__(self, home: Home) -> None:
        self.places = Places(home.folder("mesh"), home.sockets, services())
        self.places.prepare()
        self.credentials = Credentials.made(home, self.places.services)
        purposes = [certificates.SERVES, certificates.CALLS]
        certificates.make_missing(home.folder("secrets"), mongo.TLS, "Bazaar, MongoDB of one machine", purposes)
        self._home = home
        self._policy = Path(os.environ.get("BAZAAR_POLICY") or ROOT / "mesh" / "policy.yaml")
        self._authority = Authority.of(self.places)
        self._renewed_at = 0.0
        self._policy_seen = 0

    def prepare(self) -> None:
        """Gives everyone a certificate, and writes the rules.

        Raises:
            ExpectedFailure: the policy can't be read.
        """
        self._renew()
        try:
            self._write_rules()
        except PolicyInvalid as error:
            raise ExpectedFailure(str(error)) from None

    async def keep(self) -> None:
        """Renews certificates in time, and has a changed policy hold; what can't be read of it changes nothing."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # By the clock on the wall, which goes on while the machine sleeps.
            if time.time() - self._renewed_at > RENEWED_AFTER.total_seconds():
                self._renew()
            try:
                self._write_rules()
            except (PolicyInvalid, OSError) as error:
                print(f"the policy stays as it was: {error}", file=sys.stderr, flush=True)

    def environment(self, service: str, shared: Mapping[str, str]) -> dict[str, str]:
        """The settings of one service's process.

        Args:
            shared: those of all, with the addresses of servers without credentials.
        """
        others = [callee for callee in self.places.services if callee != service]
        outbound = f"unix:{self.places.outbound(service)}"
        return {
            **shared,
            **{f"BAZAAR_ADDRESS_{callee.upper()}": outbound for callee in others},
            "BAZAAR_SPIFFE_PREFIX": PREFIX,
            "BAZAAR_SECRETS": str(self.credentials.secrets(service)),
        }

    def redis_users(self) -> list[str]:
        """Lines of Redis's configuration: a service may do all that is no administration, with its own keys."""
        rights = (
            "-@all +@read +@write +@scripting +@transaction +@connection +time -@dangerous"
            " +cluster|slots +cluster|nodes +cluster|shards +asking"
        )
        return [
            f"user {service} on >{self.credentials.of(service)} {' '.join(f'~{keys}' for keys in patterns)} {rights}"
            for service, patterns in REDIS_KEYS.items()
        ]

    def mongo_users(self) -> dict[str, tuple[str, str]]:
        """Password and database of each service that has one."""
        return {service: (self.credentials.of(service), database) for service, database in MONGO_DATABASES.items()}

    def configuration(self, port: int, tls_port: int) -> Program:
        """The program that writes Envoy's configuration."""
        words = [str(self._home.path), str(self.places.sockets), str(port), str(tls_port), *self.places.services]
        return Program([sys.executable, "-m", "mesh.local", *words])

    def _renew(self) -> None:
        self._authority.renew(self.places, self.places.callers)
        self._renewed_at = time.time()

    def _write_rules(self) -> None:
        seen = self._policy.stat().st_mtime_ns if self._policy.exists() else 0
        if seen != self._policy_seen:
            self._policy_seen = seen
            write_rules(self.places, Policy.load(self._policy))
