"""The rules of an order that is paid before it is confirmed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.orders.model import State
from services.orders.paying import PAYMENT_FAILED_DUE, PAYMENT_WINDOW, awaiting, payment_failed, payment_told
from tests.unit.orders.sample import AT, LATER, order_in

S = State


def test_a_customer_has_a_quarter_of_an_hour_to_pay_from_when_the_order_was_opened():
    order = order_in(S.PAYMENT_PENDING, due_at=AT)

    waiting = awaiting(order, at=AT)

    assert waiting == replace(order, due_at=AT + PAYMENT_WINDOW)
    assert awaiting(waiting, at=AT) is waiting
    assert awaiting(order, at=AT + PAYMENT_WINDOW) is order


@pytest.mark.parametrize("state", [state for state in S if state is not S.PAYMENT_PENDING])
def test_an_order_that_waits_for_no_payment_gets_no_time_for_it(state: State):
    order = order_in(state)

    assert awaiting(order, at=AT) is order


def test_a_payments_state_shows_beside_the_orders():
    order = order_in(S.PAYMENT_PENDING, payment_state="PENDING")

    told = payment_told(order, "AUTHORIZED", 2, at=LATER)

    assert told == replace(order, payment_state="AUTHORIZED", payment_version=2, version=order.version + 1, updated_at=LATER)
    assert payment_told(told, "PENDING", 1, at=LATER) is told
    assert payment_told(told, "AUTHORIZED", 2, at=LATER) is told


def test_what_was_known_before_it_was_told_is_only_noted():
    order = order_in(S.CONFIRMED, payment_state="CAPTURED")

    assert payment_told(order, "CAPTURED", 2, at=LATER) == replace(order, payment_version=2)


def test_an_order_whose_payment_failed_says_why_and_is_soon_cancelled():
    order = payment_failed(order_in(S.PAYMENT_PENDING), "DECLINED", at=LATER)

    assert (order.state, order.timeline[-1].reason, order.due_at) == (S.PAYMENT_FAILED, "DECLINED", LATER + PAYMENT_FAILED_DUE)


@pytest.mark.parametrize("state", [state for state in S if state is not S.PAYMENT_PENDING])
def test_a_failed_payment_says_nothing_to_an_order_that_waits_for_none(state: State):
    order = order_in(state)

    assert payment_failed(order, "DECLINED", at=LATER) is order
