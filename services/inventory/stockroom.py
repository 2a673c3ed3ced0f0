# pyright: strict
"""Decides a batch of reservation commands in memory, on balances and reservations that the caller has locked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.inventory.model import (
    Allocation,
    Balance,
    Command,
    Commit,
    Entry,
    Extend,
    Kind,
    Line,
    Outcome,
    Release,
    Reservation,
    ReservationDiffers,
    ReservationEnded,
    ReservationNotFound,
    Reserve,
    State,
    allocate,
    fingerprint,
)
from services.kit.errors import DomainError
from services.kit.values import value


@value
class Hold:
    """Stock that a HELD reservation keeps in one warehouse until its time is up."""

    order_id: str
    allocation: Allocation
    expires_at: datetime


@dataclass(slots=True)
class Changes:
    """What a batch leaves to be written."""

    balances: list[Balance] = field(default_factory=list[Balance])
    opened: list[Reservation] = field(default_factory=list[Reservation])
    """New reservations, by order id."""
    moved: list[Reservation] = field(default_factory=list[Reservation])
    holds_made: list[Hold] = field(default_factory=list[Hold])
    holds_ended: list[Hold] = field(default_factory=list[Hold])
    entries: list[Entry] = field(default_factory=list[Entry])


class Stockroom:
    """The SKUs and orders of one batch.

    Args:
        at: the instant that expiry is judged by, of the database's clock.
        balances: every warehouse of every SKU involved, ordered by SKU and then nearest first; what is due at `at` is folded back.
        reservations: of the batch's orders, as stored.
    """

    def __init__(self, at: datetime, balances: Iterable[Balance], reservations: Iterable[Reservation]) -> None:
        self._at = at
        self._stored = {reservation.order_id: _seen_at(at, reservation) for reservation in reservations}
        self._reservations = dict(self._stored)
        self._shelves: dict[str, dict[str, Balance]] = {}
        self._touched: dict[tuple[str, str], None] = {}
        self._entries: list[Entry] = []
        for balance in balances:
            self._shelves.setdefault(balance.sku, {})[balance.warehouse_id] = balance

    def decide(self, command: Command) -> Outcome:
        """Carries one command out if the rules allow it; commands are seen by those after them."""
        held = self._reservations.get(command.order_id)
        try:
            reservation = self._decided(command, held)
        except DomainError as refused:
            return refused
        if reservation is not held:
            self._reservations[command.order_id] = reservation
        return reservation

    def changes(self) -> Changes:
        """The difference between what was locked and what is decided."""
        changes = Changes(entries=self._entries)
        changes.balances = [self._shelves[sku][warehouse_id] for sku, warehouse_id in sorted(self._touched)]
        for order_id in sorted(self._reservations):
            before, after = self._stored.get(order_id), self._reservations[order_id]
            if before is after:
                continue
            (changes.moved if before else changes.opened).append(after)
            ended, made = _holds_of(before), _holds_of(after)
            changes.holds_ended += [hold for hold in ended if hold not in made]
            changes.holds_made += [hold for hold in made if hold not in ended]
        return changes

    def _decided(self, command: Command, held: Reservation | None) -> Reservation:
        match command:
            case Reserve():
                return self._reserved(command, held)
            case Release():
                return self._released(command.order_id, held)
            case Extend():
                return self._extended(_known(command.order_id, held), command.ttl)
            case Commit():
                return self._committed(_known(command.order_id, held))
            case _:
                return self._returned(command.order_id, held)

    def _reserved(self, command: Reserve, held: Reservation | None) -> Reservation:
        wanted = fingerprint(command.lines)
        if held is None:
            new = Reservation(command.order_id, State.HELD, fingerprint=wanted)
            return self._hold(new, command.lines, command.ttl)
        if held.state in (State.RELEASED, State.RETURNED):
            raise ReservationEnded(held.order_id, held.state)
        if held.fingerprint != wanted:
            raise ReservationDiffers(held.order_id)
        # Whoever asks again after the time was up still wants the goods held.
        return self._hold(held, command.lines, command.ttl) if held.state is State.EXPIRED else held

    def _extended(self, held: Reservation, ttl: timedelta) -> Reservation:
        match held.state:
            case State.HELD:
                until = self._at + ttl
                return held if held.expires_at and until <= held.expires_at else replace(held, expires_at=until)
            case State.EXPIRED:
                return self._hold(held, held.lines, ttl)
            case State.COMMITTED:
                return held
            case State.RELEASED | State.RETURNED:
                raise ReservationEnded(held.order_id, held.state)

    def _committed(self, held: Reservation) -> Reservation:
        match held.state:
            case State.COMMITTED:
                return held
            case State.RELEASED | State.RETURNED:
                raise ReservationEnded(held.order_id, held.state)
            case State.HELD:
                self._move(held.allocations, on_hand=-1, reserved=-1)
            case State.EXPIRED:
                held = replace(held, allocations=self._allocated(held.lines))
                self._move(held.allocations, on_hand=-1)
        self._note(Kind.COMMITTED, held, -1)
        return replace(held, state=State.COMMITTED)

    def _released(self, order_id: str, held: Reservation | None) -> Reservation:
        if held is None:
            # A tombstone: a Reserve that comes later must not hold stock for an order that is over.
            return Reservation(order_id, State.RELEASED)
        match held.state:
            case State.COMMITTED:
                raise ReservationEnded(order_id, held.state)
            case State.RELEASED | State.RETURNED:
                return held
            case State.HELD:
                self._move(held.allocations, reserved=-1)
            case State.EXPIRED:
                pass
        return replace(held, state=State.RELEASED)

    def _returned(self, order_id: str, held: Reservation | None) -> Reservation:
        if held is None or held.state is not State.COMMITTED:
            return self._released(order_id, held)
        self._move(held.allocations, on_hand=1)
        self._note(Kind.RETURNED, held, 1)
        return replace(held, state=State.RETURNED)

    def _hold(self, reservation: Reservation, lines: Sequence[Line], ttl: timedelta) -> Reservation:
        allocations = self._allocated(lines)
        self._move(allocations, reserved=1)
        return Reservation(reservation.order_id, State.HELD, allocations, self._at + ttl, reservation.fingerprint)

    def _allocated(self, lines: Sequence[Line]) -> tuple[Allocation, ...]:
        """Where all the lines can be taken from; nothing is moved yet, so that one missing line leaves the others alone."""
        found: list[Allocation] = []
        for line in lines:
            found += allocate(line.sku, line.quantity, list(self._shelves.get(line.sku, {}).values()))
        return tuple(found)

    def _move(self, allocations: Iterable[Allocation], *, on_hand: int = 0, reserved: int = 0) -> None:
        for part in allocations:
            shelf = self._shelves[part.sku]
            shelf[part.warehouse_id] = shelf[part.warehouse_id].moved(on_hand=on_hand * part.quantity, reserved=reserved * part.quantity)
            self._touched[part.sku, part.warehouse_id] = None

    def _note(self, kind: Kind, of: Reservation, sign: int) -> None:
        self._entries += [Entry(part.sku, part.warehouse_id, kind, sign * part.quantity, of.order_id) for part in of.allocations]


def _seen_at(at: datetime, reservation: Reservation) -> Reservation:
    is_due = reservation.state is State.HELD and reservation.expires_at is not None and reservation.expires_at <= at
    return replace(reservation, state=State.EXPIRED) if is_due else reservation


def _holds_of(reservation: Reservation | None) -> list[Hold]:
    if reservation is None or reservation.state is not State.HELD or reservation.expires_at is None:
        return []
    return [Hold(reservation.order_id, part, reservation.expires_at) for part in reservation.allocations]


def _known(order_id: str, held: Reservation | None) -> Reservation:
    if held is None:
        raise ReservationNotFound(order_id)
    return held
