"""The services' stores in memory, as transactional as PostgreSQL keeps them: each change is whole, with its events, or not at all.

What they decide by are the services' own rules. Each has an effect before its commit, where nothing has happened, and one after it, where
only the answer can be lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.inventory.model import Balance, Reservation, Reserve
from services.inventory.model import Command as StockCommand
from services.inventory.stockroom import Hold, Stockroom
from services.kit.errors import DomainError
from services.kit.events.port import Event
from services.kit.ids import order_id_for
from services.orders.events import announcements
from services.orders.model import Order, OrderNotFound, Request, State, TimelineEntry
from services.orders.requests import CLAIM, HIDDEN_ORDER_DUE, Opened, Repeat, repeated
from services.orders.store import Decide
from services.payments.decisions import Command, decide
from services.payments.events import told
from services.payments.model import Payment, PaymentNotFound, pause_after
from tests.simulation.clockwork import Clockwork


class Bus:
    """Every event that was ever published, by topic and key, in order."""

    def __init__(self) -> None:
        self.events: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
        self.positions: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Up to where the one group that listens has acked."""

    def publish(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events[event.topic, event.key].append(event)

    def unread(self, topic: str) -> list[str]:
        """Keys that have something new."""
        return [key for (of, key), events in self.events.items() if of == topic and self.positions[of, key] < len(events)]


@dataclass
class Claimed:
    """What a request was opened for, and how long its holder has it to itself."""

    order_id: str
    fingerprint: bytes


class Orders:
    """Orders and their requests: what OrderStore and RequestStore keep."""

    def __init__(self, clockwork: Clockwork, bus: Bus) -> None:
        self._clockwork = clockwork
        self._bus = bus
        self.rows: dict[str, Order] = {}
        self.requests: dict[tuple[str, str, str], Claimed] = {}
        self.opened_for: defaultdict[str, list[str]] = defaultdict(list)
        """Every order that a request id was ever opened for."""
        self._claimed_until: dict[str, datetime] = {}

    async def change(self, order_id: str, decide: Decide, deadline: float | None = None) -> Order:
        await self._clockwork.effect()
        before = await self._row(order_id)
        after = decide(before, self._clockwork.now())
        self.rows[order_id] = after
        if after.state is not before.state:
            self._bus.publish(announcements(after))
        await self._clockwork.effect()
        return after

    def remember(self, opened: Order) -> None:
        """Does nothing: a change is made to the row itself."""

    async def read(self, order_id: str) -> Order:
        await self._clockwork.effect()
        return await self._row(order_id)

    async def due(self, limit: int) -> list[Order]:
        now = self._clockwork.now()
        return sorted((row for row in self.rows.values() if row.due_at and row.due_at <= now), key=lambda row: str(row.due_at))[:limit]

    async def postpone(self, order_id: str, delay: timedelta) -> None:
        row, now = self.rows[order_id], self._clockwork.now()
        if row.due_at and row.due_at <= now:
            self.rows[order_id] = replace(row, due_at=now + delay)

    async def open(self, user_id: str, request: Request, deadline: float | None = None) -> Opened:
        await self._clockwork.effect()
        key = request.principal, request.method, request.request_id
        known = self.requests.get(key)
        opened = self._found(user_id, key, request, known) if known else self._new(user_id, key, request)
        await self._clockwork.effect()
        return opened

    def _found(self, user_id: str, key: tuple[str, str, str], request: Request, known: Claimed) -> Opened:
        order, now = self.rows[known.order_id], self._clockwork.now()
        match repeated(order, request, fingerprint=known.fingerprint, is_claimed=self._claimed_until[order.order_id] > now):
            case Repeat.START_AGAIN:
                return self._new(user_id, key, request)
            case Repeat.TAKE_OVER:
                order = replace(order, version=order.version + 1, updated_at=now, due_at=now + HIDDEN_ORDER_DUE)
                return self._held(order)
            case Repeat.FOLLOW:
                return Opened(order, is_holder=False)

    def _new(self, user_id: str, key: tuple[str, str, str], request: Request) -> Opened:
        now, order_id = self._clockwork.now(), order_id_for(user_id)
        self.requests[key] = Claimed(order_id, request.fingerprint)
        self.opened_for[request.request_id].append(order_id)
        entry = TimelineEntry(State.CREATED, now)
        return self._held(Order(order_id, user_id, State.CREATED, 1, now, now, (entry,), due_at=now + HIDDEN_ORDER_DUE))

    def _held(self, order: Order) -> Opened:
        self.rows[order.order_id] = order
        self._claimed_until[order.order_id] = self._clockwork.now() + CLAIM
        return Opened(order, is_holder=True)

    async def _row(self, order_id: str) -> Order:
        if order_id not in self.rows:
            raise OrderNotFound(order_id)
        return self.rows[order_id]


class Payments:
    """What PaymentStore keeps."""

    def __init__(self, clockwork: Clockwork, bus: Bus) -> None:
        self._clockwork = clockwork
        self._bus = bus
        self.rows: dict[str, Payment] = {}
        self._attempts: defaultdict[str, int] = defaultdict(int)

    async def submit(self, command: Command, deadline: float | None = None) -> Payment:
        await self._clockwork.effect()
        before = self.rows.get(command.order_id)
        after = decide(command, before, self._clockwork.now())
        if isinstance(after, DomainError):
            raise after
        if after != before:
            self.rows[command.order_id] = after
            self._attempts[command.order_id] = 0
        if before is None or after.version > before.version:
            self._bus.publish([told(after)])
        await self._clockwork.effect()
        return after

    async def get(self, order_id: str) -> Payment:
        await self._clockwork.effect()
        if order_id not in self.rows:
            raise PaymentNotFound(order_id=order_id)
        return self.rows[order_id]

    async def find(self, payment_id: str) -> Payment:
        await self._clockwork.effect()
        for payment in self.rows.values():
            if payment.payment_id == payment_id:
                return payment
        raise PaymentNotFound(payment_id=payment_id)

    async def claim(self, limit: int) -> list[Payment]:
        now = self._clockwork.now()
        due = sorted((row for row in self.rows.values() if row.due_at and row.due_at <= now), key=lambda row: str(row.due_at))[:limit]
        for payment in due:
            self._attempts[payment.order_id] += 1
            put_off = now + pause_after(self._attempts[payment.order_id], 0.5)
            self.rows[payment.order_id] = replace(payment, due_at=put_off)
        await self._clockwork.effect()
        return due


class Stock:
    """What ReservationStore keeps."""

    def __init__(self, clockwork: Clockwork, balances: Sequence[Balance]) -> None:
        self._clockwork = clockwork
        self.balances = {balance.key: balance for balance in balances}
        self.reservations: dict[str, Reservation] = {}
        self.holds: set[Hold] = set()

    async def submit(self, command: StockCommand, deadline: float | None = None) -> Reservation:
        await self._clockwork.effect()
        stored = self.reservations.get(command.order_id)
        skus = {part.sku for part in stored.allocations} if stored else set[str]()
        if isinstance(command, Reserve):
            skus |= {line.sku for line in command.lines}
        self.fold(skus)
        shelves = [self.balances[key] for key in sorted(self.balances) if key[0] in skus]
        room = Stockroom(self._clockwork.now(), shelves, [stored] if stored else [])
        outcome = room.decide(command)
        self._write(room)
        await self._clockwork.effect()
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    def fold(self, skus: Iterable[str]) -> None:
        """Gives back what is due, as every transaction does with the SKUs that it locks."""
        wanted, now = set(skus), self._clockwork.now()
        for hold in [hold for hold in self.holds if hold.allocation.sku in wanted and hold.expires_at <= now]:
            self.holds.remove(hold)
            key = hold.allocation.sku, hold.allocation.warehouse_id
            self.balances[key] = self.balances[key].moved(reserved=-hold.allocation.quantity)

    def receive(self, key: tuple[str, str], units: int) -> None:
        self.balances[key] = self.balances[key].moved(on_hand=units)

    def _write(self, room: Stockroom) -> None:
        changes = room.changes()
        self.balances |= {balance.key: balance for balance in changes.balances}
        self.reservations |= {of.order_id: of for of in (*changes.opened, *changes.moved)}
        self.holds -= set(changes.holds_ended)
        self.holds |= set(changes.holds_made)
