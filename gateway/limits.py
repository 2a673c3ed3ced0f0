"""How many calls a user, or an address without one, may make: the edge's limits.

Three filters look at a call, one after the other:

1. This edge's own limit, in full: what goes beyond it is refused here, and costs nothing elsewhere.
2. This edge's free share of it: a call within goes on at once. Most calls of most people do.
3. What all edges together may let pass beyond their free shares: counted in Redis, by the workers (services/kit/limits/edge.py).

So at one edge a limit holds exactly, and at several its free share is given once an edge. While the third can't be asked, the first holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.headers import http_filter
from services.kit.limits.rate import LIMIT, Rate, limit_text

USER, ADDRESS = "user", "address"
Limits = Mapping[str, Rate]
"""By `user.<kind>` and `address.<kind>`, for the kinds of `gateway.methods.Method.limit`."""

DEFAULTS = {
    "user.read": Rate(100, 1000),
    "user.write": Rate(50, 500),
    "user.login": Rate(20, 200),
    "user.checkout": Rate(20, 200),
    "address.read": Rate(6000, 12_000),
    "address.write": Rate(3000, 6000),
    "address.login": Rate(1000, 5000),
    "address.checkout": Rate(1500, 3000),
}
FREE_SHARE = 0.25

OF_USER = "x-bazaar-user"
"""The request's header that is there if the token check has found a user."""
CLAIMS = "claims"
"""Where the token check leaves the claims for these filters."""
INTERVALS = "limits"
"""A route's metadata with the intervals of its limits, and the filter that reads them."""
BEYOND_FREE = "x-bazaar-beyond-free"
"""The header by which the second filter tells the third."""
WAIT_SECONDS = 0.006
"""For the third filter: so that a worker or a Redis that is frozen costs a call less than 10 ms, all in all."""
MOST_CALLERS = 20_000
"""Whose calls an edge remembers for each limit; the longest silent go first, and begin anew."""
UNLIMITED = 2**32 - 1

_LOCAL, _SHARED = 0, 1
"""Stages: which of a route's actions a filter takes."""


@dataclass(frozen=True)
class Limiting:
    """What is limited."""

    limits: Limits = field(default_factory=lambda: DEFAULTS)
    """None: nothing is."""
    free_share: float = FREE_SHARE
    """What an edge lets pass of each without asking, as a part of it; 0: it always asks."""
    wait_seconds: float = WAIT_SECONDS
    """How long an edge waits for what all edges together know; then it lets the call pass."""

    def filters(self, cluster: str) -> list[dict[str, Any]]:
        """The filters, for behind the token check.

        Args:
            cluster: whose members count for all edges.
        """
        if not self.limits:
            return []
        free = [_local("free-share", _scaled(self.limits, self.free_share), is_enforced=False)] if self.free_share else []
        return [_resets(), _local("own-limit", self.limits, is_enforced=True), *free, _shared(cluster, self.wait_seconds)]

    def actions(self, kind: str, *, needs_user: bool) -> list[dict[str, Any]]:
        """A route's `rate_limits`.

        Args:
            kind: of `gateway.methods.Method.limit`.
            needs_user: nobody gets here without one.
        """
        if not kind or not self.limits:
            return []
        names = f"{USER}.{kind}", f"{ADDRESS}.{kind}"
        shared = _scaled(self.limits, 1 - self.free_share)
        beyond = [{"request_headers": {"header_name": BEYOND_FREE, "descriptor_key": "beyond"}}] if self.free_share else []
        return [
            *({"stage": _LOCAL, "actions": actions} for actions in _whose(*names)),
            *(
                {"stage": _SHARED, "actions": [*actions, *beyond]}
                for actions in _whose(*(limit_text(name, shared[name]) for name in names))
            ),
        ]

    def intervals(self, kind: str) -> dict[str, Any]:
        """A route's `filter_metadata`: after how many microseconds a user, or an address, has another call."""
        if not kind or not self.limits:
            return {}
        return {INTERVALS: {whose: round(1e6 / self.limits[f"{whose}.{kind}"].per_second) for whose in (USER, ADDRESS)}}

    @classmethod
    def of(cls, text: str, free_share: str, wait_seconds: str = "") -> Limiting:
        """Reads BAZAAR_LIMITS (`user.write=20/100,…`, or `off`), BAZAAR_LIMITS_FREE_SHARE and BAZAAR_LIMITS_WAIT_SECONDS.

        Raises:
            ValueError: one of them can't be read, or names no limit.
        """
        if text == "off":
            return cls({})
        named = dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
        if unknown := named.keys() - DEFAULTS.keys():
            raise ValueError(f"BAZAAR_LIMITS names no limit: {', '.join(sorted(unknown))}; there are {', '.join(DEFAULTS)}")
        share = float(free_share or FREE_SHARE)
        if not 0 <= share < 1:
            raise ValueError(f"BAZAAR_LIMITS_FREE_SHARE must be at least 0 and less than 1: {free_share}")
        wait = float(wait_seconds or WAIT_SECONDS)
        if not wait > 0:
            raise ValueError(f"BAZAAR_LIMITS_WAIT_SECONDS must be more than 0: {wait_seconds}")
        return cls(DEFAULTS | {name: _rate(rate) for name, rate in named.items()}, share, wait)


def _rate(text: str) -> Rate:
    per_second, _, burst = text.partition("/")
    rate = Rate(float(per_second), int(burst))
    if rate.per_second <= 0 or rate.burst < 1:
        raise ValueError(f"a limit must allow something: {text}")
    return rate


def _whose(of_user: str, of_address: str) -> list[list[dict[str, Any]]]:
    """The actions for a call with a user, and for one without; the others' come to nothing, as one of them finds nothing."""
    path = [{"key": CLAIMS}, {"key": "sub"}]
    claim = {"key": "envoy.filters.http.jwt_authn", "path": path}
    subject = {"metadata": {"descriptor_key": USER, "metadata_key": claim, "source": "DYNAMIC"}}
    has_user = {"name": OF_USER, "present_match": True}
    no_user = {"descriptor_key": LIMIT, "descriptor_value": of_address, "expect_match": False, "headers": [has_user]}
    # Whoever has one IPv6 address has a whole /64.
    address = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
    named = {"generic_key": {"descriptor_key": LIMIT, "descriptor_value": of_user}}
    return [[named, subject], [{"header_value_match": no_user}, address]]


def _local(name: str, limits: Limits, *, is_enforced: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "stat_prefix": name.replace("-", "_"),
        "stage": _LOCAL,
        # For what no limit names; a filter must have one.
        "token_bucket": {"max_tokens": UNLIMITED, "tokens_per_fill": UNLIMITED, "fill_interval": "1s"},
        "descriptors": [_descriptor(limit, rate) for limit, rate in limits.items()],
        "max_dynamic_descriptors": MOST_CALLERS,
        "filter_enabled": _always(),
        "filter_enforced": _always(100 if is_enforced else 0),
        "rate_limited_as_resource_exhausted": True,
    }
    if is_enforced:
        slowest = min(rate.per_second for rate in limits.values())
        settings["enable_x_ratelimit_headers"] = "DRAFT_VERSION_03"
        settings["response_headers_to_add"] = [_header("retry-after", str(math.ceil(1 / slowest)))]
    else:
        settings["request_headers_to_add_when_not_enforced"] = [_header(BEYOND_FREE, "1")]
    return {**http_filter("local_ratelimit", "LocalRateLimit", **settings), "name": name}


def _descriptor(name: str, rate: Rate) -> dict[str, Any]:
    """A bucket for each who comes: an entry without a value stands for all values."""
    whose = USER if name.startswith(f"{USER}.") else "masked_remote_address"
    tokens = max(1, round(rate.per_second))
    bucket = {"max_tokens": rate.burst, "tokens_per_fill": tokens, "fill_interval": f"{tokens / rate.per_second:.6f}s"}
    return {"entries": [{"key": LIMIT, "value": name}, {"key": whose}], "token_bucket": bucket}


def _resets() -> dict[str, Any]:
    """Corrects a header of the first filter's (limits.lua); in front of it, since answers come backwards."""
    code = Path(__file__).with_name("limits.lua").read_text()
    return {**http_filter("lua", "Lua", default_source_code={"inline_string": code}), "name": INTERVALS}


def _shared(cluster: str, wait_seconds: float) -> dict[str, Any]:
    service = {
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
        "transport_api_version": "V3",
    }
    return http_filter(
        "ratelimit",
        "RateLimit",
        domain="edge",
        stage=_SHARED,
        timeout=f"{wait_seconds:g}s",
        failure_mode_deny=False,
        rate_limit_service=service,
        rate_limited_as_resource_exhausted=True,
    )


def _scaled(limits: Limits, share: float) -> Limits:
    return {name: Rate(rate.per_second * share, max(1, round(rate.burst * share))) for name, rate in limits.items()}


def _always(percent: int = 100) -> dict[str, Any]:
    return {"runtime_key": "unset", "default_value": {"numerator": percent}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
