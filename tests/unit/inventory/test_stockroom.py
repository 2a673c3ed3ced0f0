from datetime import UTC, datetime, timedelta

import pytest

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
    Reserve,
    Return,
    State,
    fingerprint,
)
from services.inventory.stockroom import Hold, Stockroom
from services.kit.errors import DomainError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=15)
LATER = NOW + TTL
TWO_TVS = (Allocation("tv", "blr", 2),)


def reservation(state: State, *, expires_at: datetime | None = LATER) -> Reservation:
    return Reservation("o", state, TWO_TVS, expires_at, fingerprint([Line("tv", 2)]))


def room(*stored: Reservation, on_hand: int = 5, reserved: int = 0) -> Stockroom:
    return Stockroom(NOW, [Balance("tv", "blr", on_hand, reserved)], stored)


def reserve(quantity: int = 2, order_id: str = "o", sku: str = "tv") -> Reserve:
    return Reserve(order_id, (Line(sku, quantity),), TTL)


def state_of(outcome: Outcome) -> State:
    assert isinstance(outcome, Reservation)
    return outcome.state


def reason_of(outcome: Outcome) -> str:
    assert isinstance(outcome, DomainError)
    return outcome.reason


def assert_nothing_changed(stock: Stockroom) -> None:
    changes = stock.changes()
    assert [changes.balances, changes.opened, changes.moved, changes.holds_made, changes.holds_ended, changes.entries] == [[]] * 6


def test_reserve_holds_stock_until_its_time_is_up():
    stock = room()

    assert stock.decide(reserve()) == reservation(State.HELD)
    changes = stock.changes()
    assert changes.balances == [Balance("tv", "blr", on_hand=5, reserved=2, version=1)]
    assert changes.opened == [reservation(State.HELD)]
    assert changes.holds_made == [Hold("o", TWO_TVS[0], LATER)]
    assert changes.entries == []


def test_reserve_of_more_than_there_is_changes_nothing():
    stock = room(on_hand=1)

    assert reason_of(stock.decide(reserve())) == "OUT_OF_STOCK"
    assert_nothing_changed(stock)


def test_reserve_takes_all_lines_or_none():
    stock = Stockroom(NOW, [Balance("cup", "blr", 9, 0), Balance("tv", "blr", 1, 0)], [])

    assert reason_of(stock.decide(Reserve("o", (Line("cup", 1), Line("tv", 2)), TTL))) == "OUT_OF_STOCK"
    assert_nothing_changed(stock)


def test_a_repeated_reserve_gets_the_reservation_already_made():
    stock = room(reservation(State.HELD), reserved=2)

    assert stock.decide(reserve()) == reservation(State.HELD)
    assert_nothing_changed(stock)


def test_a_repeat_in_the_same_batch_gets_what_the_first_one_got():
    stock = room()

    assert stock.decide(reserve()) == stock.decide(reserve())
    assert stock.changes().balances == [Balance("tv", "blr", on_hand=5, reserved=2, version=1)]


def test_in_one_batch_the_last_unit_goes_to_whoever_came_first():
    stock = room(on_hand=1)

    assert state_of(stock.decide(reserve(1, "first"))) is State.HELD
    assert reason_of(stock.decide(reserve(1, "second"))) == "OUT_OF_STOCK"


def test_what_one_command_gives_back_the_next_one_of_the_batch_can_have():
    stock = room(reservation(State.HELD), on_hand=2, reserved=2)

    stock.decide(Release("o"))
    assert state_of(stock.decide(reserve(2, "next"))) is State.HELD


def test_reserve_of_other_lines_is_refused():
    stock = room(reservation(State.HELD), reserved=2)

    assert reason_of(stock.decide(reserve(1))) == "RESERVATION_DIFFERS"
    assert_nothing_changed(stock)


def test_reserve_after_the_commit_gets_the_committed_reservation():
    stock = room(reservation(State.COMMITTED))

    assert state_of(stock.decide(reserve())) is State.COMMITTED
    assert_nothing_changed(stock)


@pytest.mark.parametrize("ended", [State.RELEASED, State.RETURNED])
@pytest.mark.parametrize("command", [reserve(), Extend("o", TTL), Commit("o")])
def test_what_has_ended_cannot_be_had_again(ended: State, command: Command):
    stock = room(reservation(ended))

    refused = stock.decide(command)
    assert isinstance(refused, DomainError)
    assert (refused.reason, refused.metadata) == ("RESERVATION_ENDED", {"order_id": "o", "state": ended})
    assert_nothing_changed(stock)


def test_reserve_after_the_time_was_up_takes_the_stock_again():
    stock = room(reservation(State.HELD, expires_at=NOW))

    assert stock.decide(reserve()) == reservation(State.HELD)
    assert stock.changes().holds_made == [Hold("o", TWO_TVS[0], LATER)]
    assert stock.changes().moved == [reservation(State.HELD)]


def test_a_reservation_expires_at_its_very_instant():
    stock = room(reservation(State.HELD, expires_at=NOW), on_hand=1)

    assert reason_of(stock.decide(Commit("o"))) == "OUT_OF_STOCK"


def test_a_reservation_is_held_up_to_its_instant():
    stock = room(reservation(State.HELD, expires_at=NOW + timedelta(microseconds=1)), on_hand=2, reserved=2)

    assert state_of(stock.decide(Commit("o"))) is State.COMMITTED


def test_commit_takes_the_stock_out_for_good():
    stock = room(reservation(State.HELD), reserved=2)

    assert stock.decide(Commit("o")) == reservation(State.COMMITTED)
    changes = stock.changes()
    assert changes.balances == [Balance("tv", "blr", on_hand=3, reserved=0, version=1)]
    assert changes.entries == [Entry("tv", "blr", Kind.COMMITTED, -2, "o")]
    assert changes.holds_ended == [Hold("o", TWO_TVS[0], LATER)]


def test_commit_of_an_expired_reservation_takes_stock_from_wherever_it_is_now():
    elsewhere = [Balance("tv", "blr", 1, 0), Balance("tv", "del", 1, 0)]
    stock = Stockroom(NOW, elsewhere, [reservation(State.HELD, expires_at=NOW)])

    stock.decide(Commit("o"))
    assert stock.changes().entries == [Entry("tv", "blr", Kind.COMMITTED, -1, "o"), Entry("tv", "del", Kind.COMMITTED, -1, "o")]
    assert stock.changes().holds_ended == []


def test_commit_of_an_expired_reservation_fails_when_the_stock_is_gone():
    stock = room(reservation(State.HELD, expires_at=NOW), on_hand=5, reserved=4)

    assert reason_of(stock.decide(Commit("o"))) == "OUT_OF_STOCK"
    assert_nothing_changed(stock)


def test_a_second_commit_changes_nothing():
    stock = room(reservation(State.COMMITTED))

    assert stock.decide(Commit("o")) == reservation(State.COMMITTED)
    assert_nothing_changed(stock)


@pytest.mark.parametrize("command", [Commit("o"), Extend("o", TTL)])
def test_an_order_without_reservation_is_not_found(command: Command):
    stock = room()

    assert reason_of(stock.decide(command)) == "RESERVATION_NOT_FOUND"
    assert_nothing_changed(stock)


def test_release_gives_back_what_is_held():
    stock = room(reservation(State.HELD), reserved=2)

    assert stock.decide(Release("o")) == reservation(State.RELEASED)
    changes = stock.changes()
    assert changes.balances == [Balance("tv", "blr", on_hand=5, reserved=0, version=1)]
    assert changes.holds_ended == [Hold("o", TWO_TVS[0], LATER)]
    assert changes.entries == []


def test_release_of_an_expired_reservation_gives_nothing_back_twice():
    stock = room(reservation(State.HELD, expires_at=NOW))

    assert state_of(stock.decide(Release("o"))) is State.RELEASED
    assert stock.changes().balances == []


@pytest.mark.parametrize("command", [Release("o"), Return("o")])
def test_an_order_released_before_it_reserved_cannot_reserve_afterwards(command: Command):
    stock = room()

    assert stock.decide(command) == Reservation("o", State.RELEASED)
    assert reason_of(stock.decide(reserve())) == "RESERVATION_ENDED"
    assert stock.changes().opened == [Reservation("o", State.RELEASED)]
    assert stock.changes().balances == []


def test_release_of_committed_stock_is_refused():
    stock = room(reservation(State.COMMITTED))

    assert reason_of(stock.decide(Release("o"))) == "RESERVATION_ENDED"
    assert_nothing_changed(stock)


@pytest.mark.parametrize("ended", [State.RELEASED, State.RETURNED])
@pytest.mark.parametrize("command", [Release("o"), Return("o")])
def test_giving_back_again_changes_nothing(ended: State, command: Command):
    stock = room(reservation(ended))

    assert stock.decide(command) == reservation(ended)
    assert_nothing_changed(stock)


def test_return_puts_committed_stock_back_where_it_came_from():
    stock = room(reservation(State.COMMITTED), on_hand=3)

    assert stock.decide(Return("o")) == reservation(State.RETURNED)
    assert stock.changes().balances == [Balance("tv", "blr", on_hand=5, reserved=0, version=1)]
    assert stock.changes().entries == [Entry("tv", "blr", Kind.RETURNED, 2, "o")]


def test_return_of_what_is_only_held_releases_it():
    stock = room(reservation(State.HELD), reserved=2)

    assert stock.decide(Return("o")) == reservation(State.RELEASED)
    assert stock.changes().entries == []


def test_extend_holds_from_now_on():
    stock = room(reservation(State.HELD), reserved=2)

    stock.decide(Extend("o", 2 * TTL))
    changes = stock.changes()
    assert changes.moved == [reservation(State.HELD, expires_at=NOW + 2 * TTL)]
    assert changes.holds_ended == [Hold("o", TWO_TVS[0], LATER)]
    assert changes.holds_made == [Hold("o", TWO_TVS[0], NOW + 2 * TTL)]
    assert changes.balances == []


def test_extend_never_shortens():
    stock = room(reservation(State.HELD), reserved=2)

    assert stock.decide(Extend("o", TTL / 2)) == reservation(State.HELD)
    assert_nothing_changed(stock)


def test_extend_of_an_expired_reservation_takes_the_stock_again():
    stock = room(reservation(State.HELD, expires_at=NOW))

    assert stock.decide(Extend("o", TTL)) == reservation(State.HELD)
    assert stock.changes().balances == [Balance("tv", "blr", on_hand=5, reserved=2, version=1)]


def test_extend_of_an_expired_reservation_fails_when_the_stock_is_gone():
    stock = room(reservation(State.HELD, expires_at=NOW), on_hand=1)

    assert reason_of(stock.decide(Extend("o", TTL))) == "OUT_OF_STOCK"
    assert_nothing_changed(stock)


def test_extend_leaves_a_committed_reservation_as_it_is():
    stock = room(reservation(State.COMMITTED))

    assert stock.decide(Extend("o", TTL)) == reservation(State.COMMITTED)
    assert_nothing_changed(stock)
