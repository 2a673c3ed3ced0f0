"""Which layer of a worker a sample belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

RPC = "edge and RPC"
PROTOBUF = "protobuf and wire"
VALIDATION = "validation"
TELEMETRY = "telemetry"
DOMAIN = "domain"
POSTGRES = "PostgreSQL client"
MONGO = "MongoDB client"
REDIS = "Redis client"
BUS = "bus and relay"
BATCHING = "batching"
LOOP = "event loop and kernel"
NATIVE = "native threads"
"""Threads in which no sample saw any Python, such as those of gRPC's core."""
OTHER = "other"

LAYERS: tuple[str, ...] = (RPC, PROTOBUF, VALIDATION, TELEMETRY, DOMAIN, POSTGRES, MONGO, REDIS, BUS, BATCHING, LOOP, NATIVE, OTHER)

_PLACES = {
    # The package `protobuf` is protovalidate's own; the shop's is google.protobuf.
    VALIDATION: r"services/kit/rpc/validation\.py|protovalidate/|protobuf/",
    RPC: r"services/kit/(rpc/|auth\.py)|services/revocation\.py|grpc(_\w+)?/",
    PROTOBUF: r"google/|generated/|services/(?!kit/)\w+/\w*wire\.py",
    TELEMETRY: r"services/kit/(telemetry/|loop_lag\.py)|opentelemetry/|structlog/",
    POSTGRES: r"services/kit/(database|roundtrips|statements|arrays)\.py|psycopg(_\w+)?/",
    MONGO: r"services/kit/mongo\.py|pymongo/|bson/",
    REDIS: r"services/kit/redis\.py|redis/",
    BUS: r"services/kit/(events/|(relay|outbox|inbox|leader|pacing|changes|change_stream)\.py)|pulsar/",
    BATCHING: r"services/kit/batching\.py",
    DOMAIN: r"services/(?!kit/)\w+/",
}
"""Where a layer's code is. The first that matches counts: a wire.py is not its service's domain."""

_LOOP_PLACE = re.compile(r"asyncio/|uvloop/|selectors\.py")
_POLLER = "_poll_wrapper"
"""grpc.aio's thread that waits for gRPC's core has no Python frames but its start; its name tells."""


def layer_of(stack: Sequence[str]) -> str:
    """The layer of the innermost frame that has one: psycopg, called by a store, is PostgreSQL's, and so is what it calls in asyncio.

    Args:
        stack: frames as `function (path)`, outermost first, after the thread's name; paths from the project's or the packages' folder.
    """
    for frame in reversed(stack):
        if layer := layer_of_frame(frame):
            return layer
    return LOOP if stack and _LOOP_PLACE.match(_place(stack[-1])) else OTHER


@cache
def layer_of_frame(frame: str) -> str | None:
    """The layer that a frame has by itself; None for what serves many, such as the standard library."""
    if _POLLER in frame:
        return RPC
    place = _place(frame)
    return next((layer for layer, pattern in _PLACES.items() if re.match(pattern, place)), None)


def _place(frame: str) -> str:
    return frame.rpartition(" (")[2]
