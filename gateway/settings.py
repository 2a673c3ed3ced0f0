"""What can be set of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.limits import Limiting
from gateway.shedding import Level, level_of
from gateway.upstreams import AT_ONCE

ADDRESS = "BAZAAR_ADDRESS_"


@dataclass(frozen=True)
class EdgeSettings:
    """See docs/edge.md."""

    trace_sampling: str = ""
    """`all` or a ratio; empty: the workers decide."""
    logs_all: bool = False
    """The access log shows successes too."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may call from a browser: `https://shop.example`, or `*` for all."""
    certificate: Path | None = None
    key: Path | None = None
    """PEM files for TLS; without them a certificate of the home's own serves."""

    limiting: Limiting = field(default_factory=Limiting)
    shed: Level = "off"
    """From which priority on calls are shed when the edge starts."""
    shed_at_once: int = AT_ONCE
    """Calls of priority 2 that have a place at the workers, or at a service; half as many of priority 3 have another one."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    """`host:port` by service, where there are no workers."""
    collector: str = ""
    """`host:port` of an OpenTelemetry collector; without one the workers take the edge's spans."""

    @property
    def has_certificate(self) -> bool:
        return bool(self.certificate and self.key)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> EdgeSettings:
        """Reads BAZAAR_TRACE_SAMPLING, BAZAAR_ACCESS_LOG, BAZAAR_CORS_ORIGINS (with commas between), BAZAAR_EDGE_CERTIFICATE[_KEY],
        BAZAAR_LIMITS[_FREE_SHARE, _WAIT_SECONDS], BAZAAR_SHED[_AT_ONCE], BAZAAR_EDGE_HOST, BAZAAR_COLLECTOR and
        BAZAAR_ADDRESS_<SERVICE>.

        Raises:
            ValueError: one of them can't be read.
        """
        origins = environment.get("BAZAAR_CORS_ORIGINS", "").split(",")
        return cls(
            trace_sampling=environment.get("BAZAAR_TRACE_SAMPLING", ""),
            logs_all=environment.get("BAZAAR_ACCESS_LOG") == "all",
            cors_origins=tuple(origin.strip() for origin in origins if origin.strip()),
            certificate=_path(environment.get("BAZAAR_EDGE_CERTIFICATE")),
            key=_path(environment.get("BAZAAR_EDGE_CERTIFICATE_KEY")),
            limiting=Limiting.of(*(environment.get(f"BAZAAR_LIMITS{name}", "") for name in ("", "_FREE_SHARE", "_WAIT_SECONDS"))),
            shed=level_of(environment.get("BAZAAR_SHED") or "off"),
            shed_at_once=_at_once(environment.get("BAZAAR_SHED_AT_ONCE") or str(AT_ONCE)),
            host=environment.get("BAZAAR_EDGE_HOST") or "127.0.0.1",
            addresses={
                name.removeprefix(ADDRESS).lower(): address for name, address in environment.items() if name.startswith(ADDRESS) and address
            },
            collector=environment.get("BAZAAR_COLLECTOR", ""),
        )


def _at_once(text: str) -> int:
    number = int(text)
    if number < 2:
        raise ValueError(f"BAZAAR_SHED_AT_ONCE must be at least 2: {text}")
    return number


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text else None
