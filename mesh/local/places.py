"""Where the mesh of one machine keeps things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EDGE = "edge"


@dataclass(frozen=True)
class Places:
    """The paths of one mesh.

    Args:
        folder: for certificates and rules, private.
        sockets: a short private directory; each service has one of its own in it.
        services: who is in the mesh, besides the edge.
    """

    folder: Path
    sockets: Path
    services: Sequence[str]

    @property
    def callers(self) -> list[str]:
        """Everyone with a certificate."""
        return [EDGE, *self.services]

    def own(self, service: str) -> Path:
        """A service's directory of sockets."""
        return self.sockets / service

    def app(self, service: str) -> Path:
        """Where the service's process listens, for its sidecar alone."""
        return self.own(service) / "app.sock"

    def inbound(self, service: str) -> Path:
        """Where its sidecar listens, for other sidecars: mTLS alone."""
        return self.own(service) / "in.sock"

    def outbound(self, service: str) -> Path:
        """Where its sidecar takes the calls that the service makes. Who can open this has its identity."""
        return self.own(service) / "out.sock"

    @property
    def authority(self) -> Path:
        """The certificate that all others are signed with."""
        return self.folder / "authority.pem"

    @property
    def authority_key(self) -> Path:
        return self.folder / "authority_key.pem"

    def certificate(self, caller: str) -> Path:
        """What Envoy reads a certificate and its key from (SDS)."""
        return self.folder / "certificates" / f"{caller}.yaml"

    def rules(self, service: str) -> Path:
        """What Envoy reads a service's rules from (ECDS)."""
        return self.folder / "rules" / f"{service}.yaml"

    def prepare(self) -> None:
        """Makes the directories."""
        for directory in (self.folder, self.folder / "certificates", self.folder / "rules", *map(self.own, self.services)):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
