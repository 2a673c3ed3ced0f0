from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.errors import DomainError
from services.kit.money import Money
from services.payments.model import MOVES, Create, Method, Outcome, Payment, State, Void, checked, decide, moved

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
THEN = NOW - timedelta(hours=1)
TEN_RUPEES = Money("INR", 1000)
CREATE = Create("o", "p", Method.COD, TEN_RUPEES)
VOID = Void("o", "unused")

LEGAL = {
    ("PENDING", "AUTHORIZED"), ("PENDING", "CAPTURED"), ("PENDING", "FAILED"), ("PENDING", "VOIDED"),
    ("ACCEPTED", "CAPTURED"), ("ACCEPTED", "FAILED"), ("ACCEPTED", "VOIDED"),
    ("AUTHORIZED", "CAPTURED"), ("AUTHORIZED", "FAILED"), ("AUTHORIZED", "VOIDED"),
    ("FAILED", "VOIDED"),
    ("CAPTURED", "REFUNDED"),
}  # fmt: skip


def payment(state: State = State.ACCEPTED, method: Method | None = Method.COD, amount: Money | None = TEN_RUPEES) -> Payment:
    return Payment("p", "o", state, THEN, THEN, method=method, amount=amount)


def reason_of(outcome: Outcome) -> str:
    assert isinstance(outcome, DomainError)
    return outcome.reason


def test_cash_on_delivery_is_accepted_at_once():
    assert decide(CREATE, None, NOW) == Payment("p", "o", State.ACCEPTED, NOW, NOW, 1, Method.COD, TEN_RUPEES)


def test_what_a_gateway_collects_is_pending():
    assert decide(replace(CREATE, method=Method.UPI), None, NOW) == Payment("p", "o", State.PENDING, NOW, NOW, 1, Method.UPI, TEN_RUPEES)


def test_a_repeated_create_gets_the_payment_already_made():
    first = payment()

    assert decide(replace(CREATE, payment_id="another"), first, NOW) is first


@pytest.mark.parametrize(
    "change",
    [
        replace(CREATE, amount=Money("INR", 1001)),
        replace(CREATE, amount=Money("USD", 1000)),
        replace(CREATE, method=Method.UPI),
    ],
)
def test_an_order_has_one_payment_of_one_amount_and_method(change: Create):
    refused = decide(change, payment(), NOW)

    assert isinstance(refused, DomainError)
    assert (refused.reason, refused.metadata) == ("PAYMENT_DIFFERS", {"order_id": "o"})


def test_a_voided_payment_cannot_be_made_again():
    refused = decide(CREATE, payment(State.VOIDED), NOW)

    assert isinstance(refused, DomainError)
    assert (refused.reason, refused.metadata) == ("PAYMENT_STATE_ILLEGAL", {"payment_id": "p", "state": "VOIDED"})


@pytest.mark.parametrize("state", [State.PENDING, State.ACCEPTED, State.AUTHORIZED, State.FAILED])
def test_a_payment_is_voided_before_money_moves(state: State):
    assert decide(VOID, payment(state), NOW) == replace(payment(State.VOIDED), version=2, updated_at=NOW)


@pytest.mark.parametrize("state", [State.CAPTURED, State.REFUNDED])
def test_money_that_has_moved_is_not_voided(state: State):
    assert reason_of(decide(VOID, payment(state), NOW)) == "PAYMENT_STATE_ILLEGAL"


def test_a_second_void_changes_nothing():
    voided = payment(State.VOIDED)

    assert decide(VOID, voided, NOW) is voided


def test_an_order_voided_before_its_payment_can_get_none():
    tombstone = decide(Void("o", "t"), None, NOW)

    assert tombstone == Payment("t", "o", State.VOIDED, NOW, NOW)
    assert isinstance(tombstone, Payment)
    assert reason_of(decide(CREATE, tombstone, NOW)) == "PAYMENT_STATE_ILLEGAL"


@pytest.mark.parametrize("to", State)
@pytest.mark.parametrize("state", State)
def test_only_legal_moves_are_made(state: State, to: State):
    if (state, to) in LEGAL:
        assert moved(payment(state), to, NOW).state is to
    else:
        with pytest.raises(DomainError):
            moved(payment(state), to, NOW)


def test_every_state_has_its_moves():
    assert MOVES.keys() == set(State)


def test_a_method_that_nobody_takes_is_refused():
    with pytest.raises(DomainError) as refused:
        checked(replace(CREATE, method=Method.CARD), [Method.COD])

    assert (refused.value.reason, refused.value.metadata) == ("PAYMENT_METHOD_UNSUPPORTED", {"method": "CARD"})


def test_a_currency_that_does_not_exist_is_refused():
    with pytest.raises(DomainError) as refused:
        checked(replace(CREATE, amount=Money("XXY", 1)), [Method.COD])

    assert refused.value.reason == "CURRENCY_UNKNOWN"


def test_a_method_that_is_taken_passes():
    assert checked(CREATE, [Method.COD]) is CREATE
