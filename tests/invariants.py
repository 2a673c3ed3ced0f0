"""What must hold of the shop after anything whatsoever; the judge of every flow, chaos and simulation test.

Reads the services' databases directly, as no service may: an auditor with keys to all rooms. First waits until events have been worked off.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import TupleRow

from tests.bus import books_of

if TYPE_CHECKING:
    from tests.pulsar import Broker  # with it comes pytest, which who runs the shop hasn't got

_SETTLE_SECONDS = 30.0
_PUBLISHERS = ("orders", "payments")
"""The services that have something to tell."""

_MOVED = """
SELECT p.reference, p.currency, p.minor_units, count(*) FILTER (WHERE e.state = 'CAPTURED'), count(*) FILTER (WHERE e.state = 'REFUNDED'),
    coalesce(sum(e.minor_units) FILTER (WHERE e.state = 'CAPTURED'), 0), coalesce(sum(e.minor_units) FILTER (WHERE e.state = 'REFUNDED'), 0)
FROM payments p JOIN entries e USING (payment_id) WHERE e.state IN ('CAPTURED', 'REFUNDED') GROUP BY p.payment_id
"""
_MINUTES = "SELECT order_id::text, floor(extract(epoch FROM confirmed_at) / 60)::int FROM orders WHERE confirmed_at IS NOT NULL"


@dataclass(frozen=True)
class Servers:
    """Where the shop keeps things.

    Args:
        databases: PostgreSQL of a service, with `{service}` to be filled in.
        events: the event bus.
        books: the SQLite file of the payment gateway's own books, where there is one.
        broker: the process of the bus, where it has one of its own.
    """

    databases: str
    events: str
    books: Path | None = None
    broker: Broker | None = None

    def database(self, service: str) -> str:
        return self.databases.replace("{service}", service)

    async def rows(self, url: str, statement: str, *values: Any) -> list[Any]:
        """What a statement answers, if anything."""
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return await asked(connection, statement, *values)


async def violations(servers: Servers) -> list[str]:
    """Sentences that say what is wrong; empty when all is well."""
    found = await behind(servers)
    for check in CHECKS.values():
        found += await check(servers)
    return found


async def behind(servers: Servers, seconds: float = _SETTLE_SECONDS) -> list[str]:
    """Waits until all that is under way now has been worked off: webhooks, outboxes, subscriptions; sentences about what hasn't by then."""
    deadline = time.monotonic() + seconds
    newest = max((row[0] for row in _books(servers, "SELECT webhook_id FROM webhooks")), default=0)
    found = await _until_empty(lambda: _undelivered(servers, newest), deadline)
    # Twice: what payments tell makes orders tell something.
    for _ in range(2):
        outboxes = {service: await _newest(servers, service) for service in _PUBLISHERS}
        found += await _until_empty(lambda outboxes=outboxes: _unpublished(servers, outboxes), deadline)
        mark = await books_of(servers.events).mark()
        found += await _until_empty(lambda mark=mark: _unread(servers, mark), deadline)
    return found


async def _until_empty(look: Callable[[], Awaitable[list[str]]], deadline: float) -> list[str]:
    while (found := await look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return found


async def _undelivered(servers: Servers, upto: int) -> list[str]:
    left = len(_books(servers, f"SELECT 1 FROM webhooks WHERE webhook_id <= {upto}"))
    return [f"{left} webhooks of the gateway have not been taken"] if left else []


async def _newest(servers: Servers, service: str) -> int:
    return (await servers.rows(servers.database(service), "SELECT coalesce(max(id), 0) FROM outbox"))[0][0]


async def _unpublished(servers: Servers, upto: Mapping[str, int]) -> list[str]:
    left = {
        service: (await servers.rows(servers.database(service), f"SELECT count(*) FROM outbox WHERE id <= {last}"))[0][0]
        for service, last in upto.items()
    }
    return [f"{count} events of {service} are not on the bus" for service, count in left.items() if count]


async def _unread(servers: Servers, mark: Any) -> list[str]:
    left = await books_of(servers.events).unread(mark)
    return [f"{group} has yet to work off {count} events of {topic}" for (group, topic), count in left.items() if count]


async def _stock(servers: Servers) -> list[str]:
    """on_hand = available + held (live, or due and not yet folded), none negative; the ledger sums to on_hand."""
    broken = await servers.rows(
        servers.database("inventory"),
        """SELECT b.sku, b.warehouse_id, b.on_hand, b.reserved, coalesce(l.units, 0), coalesce(h.quantity, 0)
           FROM balances b
           LEFT JOIN (SELECT sku, warehouse_id, sum(units) AS units FROM ledger GROUP BY 1, 2) l USING (sku, warehouse_id)
           LEFT JOIN (SELECT sku, warehouse_id, sum(quantity) AS quantity FROM holds GROUP BY 1, 2) h USING (sku, warehouse_id)
           WHERE b.on_hand <> coalesce(l.units, 0) OR b.reserved <> coalesce(h.quantity, 0) OR b.reserved < 0 OR b.on_hand < b.reserved""",
    )
    # Differences, not levels: those of a SKU that sells would read otherwise at every look.
    return [
        f"stock of {sku} in {warehouse}: on hand is {on_hand - ledger} off its ledger, reserved {reserved - held} off what is held"
        + (", and more is reserved than there is" if on_hand < reserved else "")
        for sku, warehouse, on_hand, reserved, ledger, held in broken
    ]


async def _orders_and_stock(servers: Servers) -> list[str]:
    """An order is confirmed exactly when its stock is out, for exactly its lines."""
    reservations = {
        order_id: (state, _by_sku((sku, quantity) for sku, _, quantity in allocations))
        for order_id, state, allocations in await servers.rows(
            servers.database("inventory"), "SELECT order_id::text, state, allocations FROM reservations"
        )
    }
    found: list[str] = []
    for order_id, state, content in await _orders(servers):
        stock, allocated = reservations.get(order_id, ("none", {}))
        if state == "CONFIRMED":
            if stock != "COMMITTED":
                found.append(f"order {order_id} is CONFIRMED but its stock is {stock}")
            elif allocated != _by_sku((line["sku"], line["quantity"]) for line in content["lines"]):
                found.append(f"order {order_id} took other stock than it has lines: {allocated}")
        elif state == "CANCELLED" and stock in ("HELD", "COMMITTED"):
            found.append(f"order {order_id} is CANCELLED but its stock is {stock}")
    orphans = reservations.keys() - {order_id for order_id, _, _ in await _orders(servers)}
    return found + [
        f"stock is COMMITTED for {order_id}, which is no order" for order_id in orphans if reservations[order_id][0] == "COMMITTED"
    ]


async def _orders_and_payments(servers: Servers) -> list[str]:
    """A confirmed order is paid, or to be paid on delivery, for exactly its total; a cancelled one is not."""
    payments = await _payments(servers)
    found: list[str] = []
    for order_id, state, content in await _orders(servers):
        paid = payments.get(order_id, ("none", "", 0))
        good = "ACCEPTED" if content and content["payment_method"] == "COD" else "CAPTURED"
        if state == "CONFIRMED" and paid != (good, content["currency"], content["total"]):
            found.append(f"order {order_id} of {content['total']} {content['currency']} is CONFIRMED but its payment is {paid}")
        if state == "CANCELLED" and content and paid[0] not in ("VOIDED", "REFUNDING", "REFUNDED"):
            found.append(f"order {order_id} is CANCELLED but its payment is {paid}")
    return found


async def _money(servers: Servers) -> list[str]:
    """By the gateway's books, money is taken once for a payment and goes back once, all of it; only live orders keep any."""
    payments, orders = await _payments(servers), {order_id: state for order_id, state, _ in await _orders(servers)}
    found: list[str] = []
    for order_id, currency, minor_units, captures, refunds, taken, back in _books(servers, _MOVED):
        state, *amount = payments.get(order_id, ("none", "", 0))
        is_right = amount == [currency, minor_units] and (taken, back) == (captures * minor_units, refunds * minor_units)
        if not is_right or not refunds <= captures <= 1:
            found.append(f"for order {order_id} of {amount}, {taken} {currency} was captured ({captures}) and {back} refunded ({refunds})")
        is_wanted = orders.get(order_id) in ("PAYMENT_PENDING", "CONFIRMED") and state in ("PENDING", "AUTHORIZED", "CAPTURED")
        if captures > refunds and not is_wanted and state != "REFUNDING":
            found.append(f"order {order_id} is {orders.get(order_id)} and its payment {state}, but the gateway has its money")
        if refunds and state not in ("REFUNDING", "REFUNDED"):
            found.append(f"the gateway has refunded order {order_id}, whose payment is {state}")
    return found


async def _deadlines(servers: Servers) -> list[str]:
    """Every order and payment is final, waits for nobody, or has a time by which somebody moves it on."""
    stuck = await servers.rows(
        servers.database("orders"),
        "SELECT 'order ' || order_id, state FROM orders WHERE state NOT IN ('CONFIRMED', 'CANCELLED') AND due_at IS NULL",
    )
    stuck += await servers.rows(
        servers.database("payments"),
        """SELECT 'payment of order ' || order_id, state FROM payments
           WHERE state IN ('PENDING', 'AUTHORIZED', 'REFUNDING') AND gateway <> '' AND due_at IS NULL""",
    )
    return [f"{which} is {state} and has no deadline" for which, state in stuck]


async def _events_of_orders(servers: Servers) -> list[str]:
    """Every change of an order that anybody could see has its event, once, in order."""
    told: dict[str, list[str]] = {}
    for event in await books_of(servers.events).told("orders"):
        told.setdefault(event.subject, []).append(event.type.rpartition(".")[2])
    events = {
        "PAYMENT_PENDING": "OrderCreated",
        "PAYMENT_FAILED": "OrderPaymentFailed",
        "CONFIRMED": "OrderPlaced",
        "CANCELLING": "OrderCancelling",
        "CANCELLED": "OrderCancelled",
    }
    found: list[str] = []
    for order_id, timeline in await servers.rows(
        servers.database("orders"), "SELECT order_id::text, timeline FROM orders WHERE is_submitted"
    ):
        wanted = [events[entry["state"]] for entry in timeline if entry["state"] in events]
        if wanted != (heard := list(dict.fromkeys(told.get(order_id, [])))):
            found.append(f"order {order_id} went through {wanted} but {heard} was told")
    return found


async def _rankings(servers: Servers) -> list[str]:
    """The lines that rankings count are the orders' lines, each once, at its order's minute, with the sign that its order's state says."""
    counted = await servers.rows(
        servers.database("ranking"),
        """SELECT order_id::text, line_number, sum(sign), max(product_id), max(quantity), max(net_amount), max(minute)
           FROM lines JOIN generation ON generation = live GROUP BY 1, 2""",
    )
    actual = {(order_id, number): (int(sign), *line) for order_id, number, sign, *line in counted if sign}
    minutes = dict(await servers.rows(servers.database("orders"), _MINUTES))
    expected = {
        (order_id, line["line_number"]): (1, line["product_id"], line["quantity"], line["net_amount"], minutes.get(order_id))
        for order_id, state, content in await _orders(servers)
        if state == "CONFIRMED"
        for line in content["lines"]
    }
    return [
        f"line {number} of order {order_id} is ranked as {actual.get((order_id, number))}, not {expected.get((order_id, number))}"
        for order_id, number in sorted(expected.keys() | actual.keys())
        if actual.get((order_id, number)) != expected.get((order_id, number))
    ]


async def _payments(servers: Servers) -> dict[str, tuple[str, str, int]]:
    """State and amount by order."""
    rows = await servers.rows(servers.database("payments"), "SELECT order_id::text, state, currency, minor_units FROM payments")
    return {order_id: (state, currency, minor_units) for order_id, state, currency, minor_units in rows}


async def _orders(servers: Servers) -> list[TupleRow]:
    return await servers.rows(
        servers.database("orders"),
        "SELECT order_id::text, state, content FROM orders LEFT JOIN order_contents USING (user_bucket, order_id)",
    )


def _by_sku(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for sku, quantity in lines:
        total[sku] = total.get(sku, 0) + quantity
    return total


def _books(servers: Servers, statement: str) -> list[Any]:
    """What the gateway's books say; nothing where there is none."""
    if servers.books is None:
        return []
    with closing(sqlite3.connect(f"{servers.books.absolute().as_uri()}?mode=ro", uri=True)) as books:
        return books.execute(statement).fetchall()


async def asked(connection: psycopg.AsyncConnection[TupleRow], statement: str, *values: Any) -> list[Any]:
    """What a statement answers on a connection, if anything."""
    cursor = await connection.execute(statement, values)  # type: ignore[arg-type]
    return await cursor.fetchall() if cursor.description else []


CHECKS: Mapping[str, Callable[[Servers], Awaitable[list[str]]]] = {
    "stock": _stock,
    "orders and stock": _orders_and_stock,
    "orders and payments": _orders_and_payments,
    "money": _money,
    "deadlines": _deadlines,
    "events of orders": _events_of_orders,
    "rankings": _rankings,
}
"""What is checked, by name; a check's docstring says what must hold."""
