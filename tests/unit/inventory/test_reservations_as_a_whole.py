"""Any sequence of commands, carried out by PostgreSQL, does what a plain model in memory says."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.inventory.model import Commit, Extend, Outcome, Reservation, Return
from services.inventory.model import Release as ReleaseCommand
from services.kit.errors import DomainError
from tests.stock import TTL, Inventory, order, reserve

SKUS = ("cup-", "pen-", "tv-")
ON_HAND = 6
ORDERS = 4

lines = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 3)), min_size=1, max_size=3)
verbs = st.sampled_from(["commit", "release", "return", "extend", "expire", "sweep"])
steps = st.one_of(
    st.tuples(st.just("reserve"), st.integers(0, ORDERS - 1), lines), st.tuples(verbs, st.integers(0, ORDERS - 1), st.just([]))
)


@dataclass
class PlainStock:
    """What should be, as simply as it can be said: one warehouse, whole orders."""

    on_hand: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKUS, ON_HAND))
    states: dict[int, str] = field(default_factory=dict)
    wanted: dict[int, dict[str, int]] = field(default_factory=dict)

    def available(self, sku: str) -> int:
        held = sum(self.wanted[number].get(sku, 0) for number, state in self.states.items() if state == "HELD")
        return self.on_hand[sku] - held

    def reserve(self, number: int, wanted: dict[str, int]) -> str:
        match self.states.get(number):
            case "RELEASED" | "RETURNED":
                return "RESERVATION_ENDED"
            case None:
                return self._hold(number, wanted)
            case state if self.wanted[number] != wanted:
                return "RESERVATION_DIFFERS"
            case "EXPIRED":
                return self._hold(number, wanted)
            case state:
                return state

    def commit(self, number: int) -> str:
        match self.states.get(number):
            case None:
                return "RESERVATION_NOT_FOUND"
            case "RELEASED" | "RETURNED":
                return "RESERVATION_ENDED"
            case "EXPIRED" if not self._fits(self.wanted[number]):
                return "OUT_OF_STOCK"
            case "HELD" | "EXPIRED":
                self._move(number, -1)
        self.states[number] = "COMMITTED"
        return "COMMITTED"

    def release(self, number: int) -> str:
        if self.states.get(number) == "COMMITTED":
            return "RESERVATION_ENDED"
        if self.states.get(number) != "RETURNED":
            self.states[number] = "RELEASED"
        return self.states[number]

    def give_back(self, number: int) -> str:
        if self.states.get(number) != "COMMITTED":
            return self.release(number)
        self._move(number, 1)
        self.states[number] = "RETURNED"
        return "RETURNED"

    def extend(self, number: int) -> str:
        match self.states.get(number):
            case None:
                return "RESERVATION_NOT_FOUND"
            case "RELEASED" | "RETURNED":
                return "RESERVATION_ENDED"
            case "EXPIRED":
                return self._hold(number, self.wanted[number])
            case state:
                return state

    def expire(self, number: int) -> None:
        if self.states.get(number) == "HELD":
            self.states[number] = "EXPIRED"

    def _fits(self, wanted: dict[str, int]) -> bool:
        return all(self.available(sku) >= quantity for sku, quantity in wanted.items())

    def _hold(self, number: int, wanted: dict[str, int]) -> str:
        if not self._fits(wanted):
            return "OUT_OF_STOCK"
        self.states[number], self.wanted[number] = "HELD", wanted
        return "HELD"

    def _move(self, number: int, sign: int) -> None:
        for sku, quantity in self.wanted[number].items():
            self.on_hand[sku] += sign * quantity


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, max_size=25))
async def test_any_sequence_of_commands_ends_as_the_plain_model_says(shelf: Inventory, sequence: list):
    plain, orders, run = PlainStock(), [order() for _ in range(ORDERS)], order()
    for sku in SKUS:
        await shelf.receive(sku + run, ON_HAND)
    for verb, number, wanted in sequence:
        if verb == "expire":
            plain.expire(number)
            await shelf.expire(orders[number])
        elif verb == "sweep":
            await shelf.reservations.sweep()
        else:
            expected, asked = _ask(plain, shelf, verb, number, orders[number], [(sku + run, units) for sku, units in wanted])
            assert _said(await asked) == expected, (verb, number, wanted)
        shown = {level.sku: level.available for level in await shelf.stock.levels([sku + run for sku in SKUS])}
        assert shown == {sku + run: plain.available(sku) for sku in SKUS}
    assert [(await shelf.balance(sku + run))[0] for sku in SKUS] == [plain.on_hand[sku] for sku in SKUS]
    assert await shelf.broken() == []


def _ask(
    plain: PlainStock, shelf: Inventory, verb: str, number: int, order_id: str, wanted: list[tuple[str, int]]
) -> tuple[str, Awaitable[list[Outcome]]]:
    decide = shelf.reservations.decide
    match verb:
        case "reserve":
            command = reserve(order_id, *wanted)
            return plain.reserve(number, {line.sku[: line.sku.index("-") + 1]: line.quantity for line in command.lines}), decide([command])
        case "commit":
            return plain.commit(number), decide([Commit(order_id)])
        case "release":
            return plain.release(number), decide([ReleaseCommand(order_id)])
        case "return":
            return plain.give_back(number), decide([Return(order_id)])
        case _:
            return plain.extend(number), decide([Extend(order_id, TTL)])


def _said(outcomes: list[Outcome]) -> str:
    (outcome,) = outcomes
    if isinstance(outcome, DomainError):
        return outcome.reason
    assert isinstance(outcome, Reservation)
    return outcome.state
