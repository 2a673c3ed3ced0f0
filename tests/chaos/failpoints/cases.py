"""Which failures are tried."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.failpoints import discovery
from tests.chaos.failpoints.kinds import Kind

ALL = "BAZAAR_TEST_ALL"
"""The environment variable that `./bazaar test --all` sets."""

_ONE_OF = 6
"""So many failpoints share a case in the sample."""

_ASKED = "it only reads, or is asked by nobody who orders"
_STAFF = "it is for the staff, and a transaction of its own"
_CART = "it fills a cart, in a transaction with its key"
_RANKED = "it is for who reads, checks or rebuilds rankings"
_SECOND = "it is passed only after another failure: the cases of that one pass it"
_RACE = "it is passed only by the loser of a race"
_STOPPING = "it is passed only when a process stops or a connection breaks"
_JOINED = "it is passed only when another process joins: here one follows the other"
_LATER = "a window of the rankings has to move on"
_DAY = "a day has to pass"
_FIRST_START = "it is passed only when a catalogue is captured for the first time, or its place is lost"
_WHOLE = "it lasts as long as the process"

ELSEWHERE = {
    "orders/service.py:ListOrders": _ASKED,
    "orders/service.py:StreamOrderLines": _ASKED,
    "orders/store.py:of_user": _ASKED,
    "orders/store.py:placed_after": _ASKED,
    "orders/requests.py:_found:2": _RACE,
    "orders/store.py:_lock:2": _RACE,
    "orders/settlement.py:_reap:1": _SECOND,
    "orders/store.py:postpone": _SECOND,
    "payments/__init__.py:gateways_open": _STOPPING,
    "payments/gateways/sandbox.py:close": _STOPPING,
    "inventory/cache.py:_values": _ASKED,
    "inventory/service.py:ReceiveStock": _STAFF,
    "inventory/service.py:BatchReceiveStock": _STAFF,
    "inventory/service.py:AdjustStock": _STAFF,
    "inventory/service.py:TransferStock": _STAFF,
    "inventory/service.py:List": _ASKED,
    "inventory/service.py:_available": _ASKED,
    "inventory/service.py:_variants_of": _ASKED,
    "inventory/store.py:movements": _ASKED,
    "inventory/store.py:_book": _STAFF,
    "cart/neighbours.py": _CART,
    "cart/service.py:CreateCart": _CART,
    "cart/service.py:GetCart": _ASKED,
    "cart/service.py:ListCarts": _ASKED,
    "cart/service.py:GetItemCount": _ASKED,
    "cart/service.py:AddItem": _CART,
    "cart/service.py:_facts": _CART,
    "cart/service.py:_change": _CART,
    "cart/store.py:find": _CART,
    "cart/store.py:list": _ASKED,
    "cart/store.py:count": _ASKED,
    "cart/store.py:create": _CART,
    "cart/store.py:change": _CART,
    "cart/store.py:_locked:": _CART,
    "cart/store.py:_active:": _CART,
    "ranking/audit.py": _RANKED,
    "ranking/boards.py:top": _RANKED,
    "ranking/boards.py:rank": _RANKED,
    "ranking/boards.py:read": _RANKED,
    "ranking/boards.py:fill:2": _RACE,
    "ranking/boards.py:leave": _LATER,
    "ranking/boards.py:subtract": _LATER,
    "ranking/boards.py:keep_only": _RANKED,
    "ranking/details.py": _RANKED,
    "ranking/fresh.py": _RANKED,
    "ranking/projection.py:_catch_up": _SECOND,
    "ranking/projection.py:_leave": _LATER,
    "ranking/projection.py:settled": _RANKED,
    "ranking/projection.py:build": _RANKED,
    "ranking/projection.py:work": _RANKED,
    "ranking/rankings.py": _RANKED,
    "ranking/service.py": _RANKED,
    "ranking/shown.py": _RANKED,
    "ranking/store.py:add_to": _RANKED,
    "ranking/store.py:sums": _LATER,
    "ranking/store.py:_lines": _SECOND,
    "ranking/store_history.py:top": _RANKED,
    "ranking/store_history.py:rank": _RANKED,
    "ranking/store_versions.py:open": _RANKED,
    "ranking/store_versions.py:still_building": _RANKED,
    "ranking/store_versions.py:flip": _RANKED,
    "ranking/store_versions.py:give_up": _RANKED,
    "ranking/store_versions.py:drop_others": _RANKED,
    "ranking/store_versions.py:_partitions": _RANKED,
    "ranking/store_versions.py:_drop": _RANKED,
    "kit/database.py:close": _STOPPING,
    "kit/database.py:transaction:2": _SECOND,
    "kit/database.py:run:2": _RACE,
    "kit/database.py:_alive": _STOPPING,
    "kit/database.py:_unless_cancelled:2": _RACE,
    "kit/batching.py:_work_through_outage:2": _SECOND,
    "kit/idempotency.py:answered": _CART,
    "kit/idempotency.py:answer": _CART,
    "kit/inbox.py:_add": _DAY,
    "kit/inbox.py:keep_days:3": _DAY,
    "kit/inbox.py:keep_days:4": _DAY,
    "kit/changes.py:followed": _STOPPING,
    "kit/changes.py:place_now": _FIRST_START,
    "kit/leader.py:_lead_once:2": _STOPPING,
    "kit/events/consumer.py:run:2": _STOPPING,
    "kit/events/consumer.py:_work_retries": _SECOND,
    "kit/events/progress.py:settle": _SECOND,
    "kit/events/membership.py:leave": _STOPPING,
    "kit/events/membership.py:close": _STOPPING,
    "kit/events/membership.py:_follow_up": _JOINED,
    "kit/events/leases.py:release": _JOINED,
    "kit/events/leases.py:leave": _STOPPING,
    "kit/events/leases.py:retire": _STOPPING,
    "kit/events/retention.py:_make_days": _DAY,
    "kit/events/retention.py:_drop_days:2": _DAY,
    "kit/events/retention.py:_drop_days:3": _DAY,
    "kit/events/postgres_bus.py:close": _STOPPING,
    "kit/events/postgres_bus.py:consume": _WHOLE,
    "kit/events/postgres_bus.py:dead_letters": _STAFF,
    "kit/events/postgres_bus.py:replay": _STAFF,
    "kit/events/postgres_bus.py:rewind": _STAFF,
    "kit/events/postgres_bus.py:depth": _STAFF,
}
"""Failpoints that are not on the way of an order, or that no customer can be made to pass, by the beginnings of their names: why."""


@dataclass(frozen=True)
class Case:
    """One failure."""

    failpoint: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.failpoint} {self.kind}"


def reason_of(failpoint: str) -> str:
    """Why it is left out; empty when it isn't."""
    return next((reason for prefix, reason in ELSEWHERE.items() if failpoint.startswith(prefix)), "")


def every() -> list[Case]:
    return [Case(name, kind) for name in discovery.find() if not reason_of(name) for kind in Kind]


def chosen() -> Sequence[Case]:
    """Every case if all are wanted; else a sample, the same each time: each sixth failpoint, each with one of the kinds."""
    if os.environ.get(ALL):
        return every()
    return [case for case in every() if zlib.crc32(case.failpoint.encode()) % (_ONE_OF * len(Kind)) == list(Kind).index(case.kind)]
