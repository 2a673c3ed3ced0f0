"""The rules of an order, one fact a test."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.content import by_root_category
from services.orders.model import (
    CANCELLING_DUE,
    FINAL,
    MOVES,
    PAYMENT_DUE,
    PLACED,
    IllegalMove,
    OrderNotFound,
    State,
    TimelineEntry,
    VersionStale,
    cancelled,
    cancelling,
    confirmed,
    move,
    readable_by,
    submitted,
)
from tests.unit.orders.sample import AT, LATER, OTHER, USER, content, created, line, order_in

S = State
LEGAL = {
    (S.CREATED, S.PAYMENT_PENDING),
    (S.CREATED, S.CANCELLING),
    (S.PAYMENT_PENDING, S.CONFIRMED),
    (S.PAYMENT_PENDING, S.PAYMENT_FAILED),
    (S.PAYMENT_PENDING, S.CANCELLING),
    (S.PAYMENT_FAILED, S.CANCELLING),
    (S.CONFIRMED, S.PROCESSING),
    (S.CONFIRMED, S.CANCELLING),
    (S.PROCESSING, S.SHIPPED),
    (S.PROCESSING, S.CANCELLING),
    (S.SHIPPED, S.DELIVERED),
    (S.DELIVERED, S.RETURN_REQUESTED),
    (S.RETURN_REQUESTED, S.RETURNED),
    (S.CANCELLING, S.CANCELLED),
}
PAIRS = [(start, to) for start in State for to in State]


@pytest.mark.parametrize(("start", "to"), sorted(LEGAL))
def test_a_legal_move_is_made(start: State, to: State):
    order = order_in(start)

    moved = move(order, to, at=LATER, due_at=LATER, reason="WHY")

    assert (moved.state, moved.version, moved.updated_at, moved.due_at) == (to, order.version + 1, LATER, LATER)
    assert moved.timeline == (*order.timeline, TimelineEntry(to, LATER, "WHY"))


@pytest.mark.parametrize(("start", "to"), [pair for pair in PAIRS if pair not in LEGAL])
def test_every_other_move_is_refused(start: State, to: State):
    with pytest.raises(IllegalMove) as refused:
        move(order_in(start), to, at=LATER)

    assert refused.value.metadata == {"order_id": order_in(start).order_id, "state": start, "wanted": to}


@given(st.lists(st.sampled_from(list(State)), max_size=30))
def test_whatever_is_tried_an_order_only_goes_forward(wishes: list[State]):
    order = created()
    for wish in wishes:
        try:
            moved = move(order, wish, at=LATER)
        except IllegalMove:
            continue
        assert moved.version == order.version + 1
        assert moved.timeline[:-1] == order.timeline
        order = moved
    states = [entry.state for entry in order.timeline]
    assert states[-1] is order.state
    assert len(states) == len(set(states)) == order.version


@pytest.mark.parametrize("ended", [S.CANCELLED, S.RETURNED])
def test_no_way_leads_out_of_an_end(ended: State):
    assert MOVES[ended] == frozenset()


def test_a_delivered_order_is_final_although_it_may_come_back():
    assert {S.DELIVERED, S.RETURNED, S.CANCELLED} == FINAL
    assert MOVES[S.DELIVERED] == {S.RETURN_REQUESTED}


def test_every_state_can_be_reached():
    assert [order_in(state).state for state in State] == list(State)


def test_a_submitted_order_waits_for_its_payment():
    order = submitted(created(), content(), version=1, at=LATER)

    assert (order.state, order.version, order.content, order.payment_state) == (S.PAYMENT_PENDING, 2, content(), "PENDING")
    assert order.due_at == LATER + PAYMENT_DUE
    assert order.is_submitted


@pytest.mark.parametrize("state", [S.PAYMENT_PENDING, S.CONFIRMED, S.CANCELLING, S.CANCELLED])
def test_the_same_content_submitted_again_changes_nothing(state: State):
    order = order_in(state, content=content())

    assert submitted(order, content(), version=1, at=LATER) is order


@pytest.mark.parametrize("version", [0, 2])
def test_only_the_holder_of_the_version_submits(version: int):
    with pytest.raises(VersionStale):
        submitted(created(), content(), version=version, at=LATER)


@pytest.mark.parametrize("state", [S.PAYMENT_PENDING, S.CONFIRMED, S.CANCELLED])
def test_another_content_is_refused_once_there_is_one(state: State):
    order = order_in(state, content=content())

    with pytest.raises(VersionStale):
        submitted(order, content(line(quantity=2)), version=1, at=LATER)


def test_a_hidden_order_that_is_being_given_up_cannot_be_submitted():
    with pytest.raises(VersionStale):
        submitted(cancelling(created(), "EXPIRED", at=AT), content(), version=2, at=LATER)


def test_a_confirmed_order_notes_when_and_how_it_was_paid_and_waits_for_nobody():
    order = confirmed(order_in(S.PAYMENT_PENDING), "CAPTURED", at=LATER)

    assert (order.state, order.confirmed_at, order.payment_state, order.due_at) == (S.CONFIRMED, LATER, "CAPTURED", None)
    assert order.was_placed


@pytest.mark.parametrize("state", sorted(PLACED))
def test_confirming_an_order_again_changes_nothing(state: State):
    order = order_in(state)

    assert confirmed(order, "CAPTURED", at=LATER) is order


@pytest.mark.parametrize("state", [S.CREATED, S.PAYMENT_FAILED, S.CANCELLING, S.CANCELLED])
def test_an_order_that_waits_for_no_payment_is_not_confirmed(state: State):
    with pytest.raises(IllegalMove):
        confirmed(order_in(state), "CAPTURED", at=LATER)


@pytest.mark.parametrize("state", [S.CREATED, S.PAYMENT_PENDING, S.PAYMENT_FAILED, S.CONFIRMED, S.PROCESSING])
def test_an_order_that_is_not_shipped_can_be_cancelled(state: State):
    order = cancelling(order_in(state), "CUSTOMER", at=LATER)

    assert (order.state, order.cancel_reason, order.due_at) == (S.CANCELLING, "CUSTOMER", LATER + CANCELLING_DUE)


@pytest.mark.parametrize("state", [S.SHIPPED, S.DELIVERED, S.RETURN_REQUESTED, S.RETURNED])
def test_an_order_that_is_shipped_cannot_be_cancelled(state: State):
    with pytest.raises(IllegalMove):
        cancelling(order_in(state), "CUSTOMER", at=LATER)


@pytest.mark.parametrize("state", [S.CANCELLING, S.CANCELLED])
def test_a_second_cancellation_does_not_change_the_reason(state: State):
    order = order_in(state, cancel_reason="CUSTOMER")

    assert cancelling(order, "EXPIRED", at=LATER, version=1) is order


def test_who_means_another_version_cancels_nothing():
    with pytest.raises(VersionStale):
        cancelling(order_in(S.CONFIRMED), "EXPIRED", at=LATER, version=2)


def test_a_cancelled_order_waits_for_nobody_and_shows_where_its_money_is():
    order = cancelled(order_in(S.CANCELLING, content=content(), due_at=LATER), "REFUNDING", 3, at=LATER)

    assert (order.state, order.due_at, order.payment_state, order.payment_version) == (S.CANCELLED, None, "REFUNDING", 3)


def test_what_payments_told_meanwhile_is_not_forgotten_when_an_order_ends():
    order = cancelled(order_in(S.CANCELLING, content=content(), payment_state="REFUNDED", payment_version=4), "REFUNDING", 3, at=LATER)

    assert (order.payment_state, order.payment_version) == ("REFUNDED", 4)


def test_a_hidden_order_that_ends_never_had_a_payment():
    assert cancelled(order_in(S.CANCELLING), at=LATER).payment_state == ""


def test_an_order_ends_once():
    order = order_in(S.CANCELLED)

    assert cancelled(order, at=LATER) is order


def test_an_order_ends_only_after_its_cancellation_was_noted():
    with pytest.raises(IllegalMove):
        cancelled(order_in(S.CONFIRMED), at=LATER)


def test_an_order_that_was_confirmed_once_counts_as_placed_when_it_is_cancelled():
    order = cancelled(cancelling(order_in(S.CONFIRMED), "CUSTOMER", at=LATER), at=LATER)

    assert (order.was_placed, order.confirmed_at) == (True, AT)


@pytest.mark.parametrize(
    ("reason", "has_failed"), [("OUT_OF_STOCK", True), ("EXPIRED", True), ("PAYMENT_FAILED", True), ("CUSTOMER", False), ("STAFF", False)]
)
def test_an_order_has_failed_when_nobody_wanted_its_end(reason: str, has_failed: bool):
    order = cancelled(cancelling(order_in(S.PAYMENT_PENDING), reason, at=LATER), at=LATER)

    assert order.has_failed is has_failed


def test_an_order_that_was_placed_has_not_failed_whatever_ends_it():
    assert not cancelled(cancelling(order_in(S.CONFIRMED), "OUT_OF_STOCK", at=LATER), at=LATER).has_failed


def test_an_order_that_is_still_being_cancelled_has_not_failed_yet():
    assert not cancelling(created(), "EXPIRED", at=LATER).has_failed


def test_lines_are_grouped_by_the_first_level_of_their_category():
    tv, radio, rice = line(1, "tv"), line(2, "radio", category_id="electronics"), line(3, "rice", category_id="food.grain.rice")

    assert by_root_category([tv, rice, radio]) == {"electronics": [tv, radio], "food": [rice]}


def test_an_owner_reads_a_submitted_order():
    order = order_in(S.PAYMENT_PENDING)

    assert readable_by(order, user_id=USER, is_staff=False) is order


def test_staff_read_everybodys_orders():
    order = order_in(S.CONFIRMED)

    assert readable_by(order, user_id=OTHER, is_staff=True) is order


@pytest.mark.parametrize("is_staff", [False, True])
def test_nobody_reads_a_hidden_order(is_staff: bool):
    with pytest.raises(OrderNotFound):
        readable_by(created(), user_id=USER, is_staff=is_staff)


def test_somebody_elses_order_is_as_absent_as_one_that_never_was():
    with pytest.raises(OrderNotFound) as refused:
        readable_by(order_in(S.CONFIRMED), user_id=OTHER, is_staff=False)

    assert (refused.value.message, refused.value.metadata) == ("There is no such order.", {"order_id": created().order_id})


def test_a_cancellation_that_is_cut_off_is_taken_up_before_a_payment_that_never_came():
    assert timedelta(0) < CANCELLING_DUE < PAYMENT_DUE
