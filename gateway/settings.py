"""What can be set of the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EdgeSettings:
    """See docs/edge.md."""

    trace_sampling: str = ""
    """`all` or a ratio; empty: the workers decide."""
    logs_all: bool = False
    """The access log shows successes too."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may call from a browser: `https://shop.example`, or `*` for all."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> EdgeSettings:
        """Reads BAZAAR_TRACE_SAMPLING, BAZAAR_ACCESS_LOG and BAZAAR_CORS_ORIGINS (with commas between)."""
        origins = environment.get("BAZAAR_CORS_ORIGINS", "").split(",")
        return cls(
            trace_sampling=environment.get("BAZAAR_TRACE_SAMPLING", ""),
            logs_all=environment.get("BAZAAR_ACCESS_LOG") == "all",
            cors_origins=tuple(origin.strip() for origin in origins if origin.strip()),
        )
