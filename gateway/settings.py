"""What can be set of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


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

    @property
    def has_certificate(self) -> bool:
        return bool(self.certificate and self.key)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> EdgeSettings:
        """Reads BAZAAR_TRACE_SAMPLING, BAZAAR_ACCESS_LOG, BAZAAR_CORS_ORIGINS (with commas between) and BAZAAR_EDGE_CERTIFICATE[_KEY]."""
        origins = environment.get("BAZAAR_CORS_ORIGINS", "").split(",")
        return cls(
            trace_sampling=environment.get("BAZAAR_TRACE_SAMPLING", ""),
            logs_all=environment.get("BAZAAR_ACCESS_LOG") == "all",
            cors_origins=tuple(origin.strip() for origin in origins if origin.strip()),
            certificate=_path(environment.get("BAZAAR_EDGE_CERTIFICATE")),
            key=_path(environment.get("BAZAAR_EDGE_CERTIFICATE_KEY")),
        )


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text else None
