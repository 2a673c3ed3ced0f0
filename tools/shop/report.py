"""What was done and what was refused, for the screen and as a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from tools.home import Home


@dataclass
class Report:
    """Counts, and every refusal with its reason."""

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Counter[str]] = field(default_factory=dict)
    """By kind of thing (product, line, order), then by reason."""
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, kind: str, reason: str, message: str = "", **where: Any) -> None:
        """Notes one refusal.

        Args:
            where: what finds the thing again: its line, its id.
        """
        self.refused.setdefault(kind, Counter())[reason] += 1
        self.refusals.append({"kind": kind, "reason": reason, **({"message": message} if message else {}), **where})

    def lines(self) -> list[str]:
        """The counts, then the refusals by reason; for a person."""
        rows = [(name, number) for name, number in self.counts.items()]
        for kind, reasons in self.refused.items():
            rows += [(f"{kind}s refused: {reason}", number) for reason, number in sorted(reasons.items())]
        width = max((len(f"{number:,}") for _, number in rows), default=0)
        return [f"{number:>{width},}  {name}" for name, number in rows]

    def write(self, home: Home) -> Path:
        """Keeps it under the home's reports; returns the file."""
        folder = home.folder("reports")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{self.title}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.json"
        content = {"counts": self.counts, "refused": self.refused, "refusals": self.refusals}
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        return path
