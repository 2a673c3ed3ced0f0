"""What a limit allows, and how it travels from the edge's routes to who counts."""

from __future__ import annotations

from services.kit.values import value

LIMIT = "limit"
"""The key of a descriptor's first entry, which says of which kind a call is and what is allowed: `user.read 75/750`, a second and at once.
The entries after it say whose call it is.
"""


@value
class Rate:
    """What is allowed."""

    per_second: float
    burst: int
    """At once, after a rest of `burst / per_second` seconds."""


def limit_text(name: str, rate: Rate) -> str:
    """A limit as it travels."""
    return f"{name} {rate.per_second:g}/{rate.burst}"


def limit_of(text: str) -> tuple[str, Rate]:
    """Name and rate of a limit that has travelled."""
    name, _, numbers = text.partition(" ")
    per_second, _, burst = numbers.partition("/")
    return name, Rate(float(per_second), int(burst))
