"""Edges with limits so small and so slow that a test can count them out."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import httpx

SLOW = {
    "BAZAAR_LIMITS": "user.read=0.01/8,user.write=0.01/4,user.checkout=0.01/4,address.read=0.02/12,address.login=0.02/4",
    "BAZAAR_LIMITS_FREE_SHARE": "0.25",
    "BAZAAR_LIMITS_WAIT_SECONDS": "0.5",
}
"""Within a test nothing comes back. They wait long, since what they are told matters here and not when."""


def home_like(home: Path, name: str) -> Path:
    """A home beside another one, with its secrets."""
    fresh = home.parent / name
    for folder in ("envoy", "logs"):
        (fresh / folder).mkdir(parents=True)
    shutil.copytree(home / "secrets", fresh / "secrets")
    return fresh


async def statuses(client: httpx.AsyncClient, times: int, path: str, headers: dict[str, str] | None = None) -> Counter[int]:
    """How often which status answered, one call after the other."""
    return Counter([(await client.get(path, headers=headers)).status_code for _ in range(times)])


async def counters(home: Path, matching: str) -> dict[str, int]:
    """An edge's own counters, those that have come to something."""
    transport = httpx.AsyncHTTPTransport(uds=f"{home}/envoy.sock")
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy", trust_env=False) as admin:
        text = (await admin.get("/stats", params={"usedonly": "", "filter": matching})).text
    lines = (line.rpartition(": ") for line in text.splitlines())
    return {name: int(value) for name, _, value in lines if value.isdigit()}
