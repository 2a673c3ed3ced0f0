"""Which calls the policy grants, and which were seen in a trace store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from tools import ROOT

Pair = tuple[str, str]
"""(caller, method)"""

SELDOM = ("rare", "external")
"""Marks of rules that no flow test's trace need show."""

UNTRACED = {"bazaar.users.v1.UsersService/ListRevocations"}
"""Asked twice a second by every process, and so never recorded."""


def granted(*, often: bool = False) -> set[Pair]:
    """Every pair of mesh/policy.yaml; or without those that are seldom seen."""
    methods: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "mesh" / "policy.yaml").read_text())["methods"]
    kept = {name: entry for name, entry in methods.items() if not often or not (name in UNTRACED or any(map(entry.get, SELDOM)))}
    return {(caller, name) for name, entry in kept.items() for caller in entry.get("callers", ())}


def seen(traces: Path) -> set[Pair]:
    """Every pair of which a call was let in."""
    return {(span["attributes"]["bazaar.caller"], span["name"]) for span in _server_spans(traces) if not _was_refused(span)}


def _server_spans(traces: Path) -> Iterator[dict[str, Any]]:
    for segment in traces.glob("*.jsonl"):
        for line in segment.read_bytes().splitlines():
            if b'"bazaar.caller"' in line:
                yield orjson.loads(line)


def _was_refused(span: dict[str, Any]) -> bool:
    """As the rules do it; UNIMPLEMENTED is what they say to a method that isn't there."""
    return span["attributes"].get("rpc.response.status_code") in ("PERMISSION_DENIED", "UNIMPLEMENTED")
