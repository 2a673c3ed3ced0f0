from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import DomainError
from services.kit.money import Money
from services.payments.decisions import Create, Link, Outcome, Report, Void, checked, decide
from services.payments.model import (
    ASK_DUE,
    LONGEST_PAUSE,
    MOVES,
    STEP_DUE,
    Method,
    Notice,
    Payment,
    State,
    Step,
    moved,
    next_step,
    pause_after,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
THEN = NOW - timedelta(hours=1)
TEN_RUPEES = Money("INR", 1000)
CREATE = Create("o", "p", Method.COD, TEN_RUPEES)
VOID = Void("o", "unused")

LEGAL = {
    ("PENDING", "AUTHORIZED"), ("PENDING", "CAPTURED"), ("PENDING", "FAILED"), ("PENDING", "VOIDED"),
    ("ACCEPTED", "CAPTURED"), ("ACCEPTED", "FAILED"), ("ACCEPTED", "VOIDED"),
    ("AUTHORIZED", "CAPTURED"), ("AUTHORIZED", "FAILED"), ("AUTHORIZED", "VOIDED"),
    ("FAILED", "CAPTURED"), ("FAILED", "VOIDED"),
    ("CAPTURED", "REFUNDING"), ("VOIDED", "REFUNDING"),
    ("REFUNDING", "REFUNDED"),
}  # fmt: skip


def payment(state: State = State.ACCEPTED, method: Method | None = Method.COD, amount: Money | None = TEN_RUPEES) -> Payment:
    return Payment("p", "o", state, THEN, THEN, method=method, amount=amount)


def at_gateway(state: State, **fields: object) -> Payment:
    """A payment that a gateway moves."""
    fields = {"link": "there", "due_at": THEN, **fields}
    return replace(payment(state, Method.CARD), gateway="psp", **fields)  # type: ignore[arg-type]


def report(state: State, at: datetime | None = None, reason: str = "", amount: Money = TEN_RUPEES) -> Report:
    return Report("o", Notice("p", state, amount, reason, at))


def after(command: Link | Report | Void, before: Payment) -> Payment:
    """The payment after something that the rules allow."""
    outcome = decide(command, before, NOW)
    assert isinstance(outcome, Payment), outcome
    return outcome


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


def test_money_that_has_moved_begins_its_way_back():
    after_void = after(Void("o", "unused"), at_gateway(State.CAPTURED, due_at=None))

    assert (after_void.state, after_void.version, after_void.due_at) == (State.REFUNDING, 2, NOW + STEP_DUE)


@pytest.mark.parametrize("state", [State.VOIDED, State.REFUNDING, State.REFUNDED])
def test_what_was_given_up_stays_so(state: State):
    before = at_gateway(state)

    assert decide(VOID, before, NOW) is before
    assert reason_of(decide(CREATE, before, NOW)) == "PAYMENT_STATE_ILLEGAL"


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


HEARD = {
    ("PENDING", "AUTHORIZED"): "AUTHORIZED",
    ("PENDING", "CAPTURED"): "CAPTURED",
    ("PENDING", "FAILED"): "FAILED",
    ("PENDING", "VOIDED"): "VOIDED",
    ("AUTHORIZED", "CAPTURED"): "CAPTURED",
    ("AUTHORIZED", "FAILED"): "FAILED",
    ("AUTHORIZED", "VOIDED"): "VOIDED",
    ("FAILED", "CAPTURED"): "CAPTURED",
    ("FAILED", "VOIDED"): "VOIDED",
    ("VOIDED", "CAPTURED"): "REFUNDING",
    ("REFUNDING", "REFUNDED"): "REFUNDED",
}
"""What a report makes of a payment; every other one changes nothing."""


@pytest.mark.parametrize("said", State)
@pytest.mark.parametrize("state", [state for state in State if state is not State.ACCEPTED])
def test_a_report_leads_on_or_changes_nothing(state: State, said: State):
    before = at_gateway(state)
    outcome = after(report(said), before)

    wanted = HEARD.get((state, said), state)
    assert (outcome.state, outcome.version) == (wanted, 1 if wanted == state else 2)


@pytest.mark.parametrize("said", [State.VOIDED, State.REFUNDED])
def test_a_gateway_that_has_heard_of_the_void_is_told_no_more(said: State):
    before = at_gateway(State.VOIDED)

    assert after(report(said), before) == replace(before, due_at=None)
    assert after(report(said), replace(before, due_at=None)) == replace(before, due_at=None)


@pytest.mark.parametrize("said", [State.AUTHORIZED, State.FAILED, State.VOIDED])
def test_older_news_than_what_is_known_changes_nothing(said: State):
    before = at_gateway(State.PENDING, reported_at=NOW)

    assert after(report(said, at=NOW), before) is before
    assert after(report(said, at=THEN), before) is before
    assert after(report(said, at=NOW + timedelta(seconds=1)), before).state is said


def test_a_capture_counts_however_late_it_is_told_of():
    captured = after(report(State.CAPTURED, at=THEN), at_gateway(State.FAILED, reported_at=NOW))

    assert (captured.state, captured.reported_at) == (State.CAPTURED, NOW)


def test_a_failure_says_why_until_it_is_overcome():
    failed = after(report(State.FAILED, at=THEN, reason="DECLINED"), at_gateway(State.PENDING))

    assert (failed.failure_reason, failed.reported_at, failed.due_at) == ("DECLINED", THEN, None)
    assert after(report(State.CAPTURED, at=NOW), failed).failure_reason == ""


@pytest.mark.parametrize("amount", [Money("INR", 1001), Money("USD", 1000)])
def test_a_report_of_another_amount_is_refused(amount: Money):
    assert reason_of(decide(report(State.CAPTURED, amount=amount), at_gateway(State.PENDING), NOW)) == "PAYMENT_DIFFERS"


def test_a_report_of_another_payment_is_refused():
    notice = Notice("another", State.CAPTURED, TEN_RUPEES)

    assert reason_of(decide(Report("o", notice), at_gateway(State.PENDING), NOW)) == "PAYMENT_NOT_FOUND"
    assert reason_of(decide(Report("o", notice), None, NOW)) == "PAYMENT_NOT_FOUND"
    assert reason_of(decide(Link("o", "there"), None, NOW)) == "PAYMENT_NOT_FOUND"


def test_a_link_is_kept_and_its_customer_left_in_peace_for_a_while():
    before = at_gateway(State.PENDING, link="")

    assert after(Link("o", "there"), before) == replace(before, link="there", due_at=NOW + ASK_DUE)


@pytest.mark.parametrize("state", [State.AUTHORIZED, State.CAPTURED, State.FAILED, State.VOIDED])
def test_a_link_that_comes_after_the_customer_has_paid_or_gone_is_no_use(state: State):
    before = at_gateway(state, link="")

    assert after(Link("o", "there"), before) is before


@pytest.mark.parametrize(
    ("before", "step"),
    [
        (at_gateway(State.PENDING, link=""), Step.OPEN),
        (at_gateway(State.PENDING), Step.ASK),
        (at_gateway(State.AUTHORIZED), Step.CAPTURE),
        (at_gateway(State.CAPTURED), None),
        (at_gateway(State.FAILED), None),
        (at_gateway(State.VOIDED), Step.VOID),
        (at_gateway(State.REFUNDING), Step.REFUND),
        (at_gateway(State.REFUNDED), None),
        (payment(State.ACCEPTED), None),
        (payment(State.VOIDED), None),
    ],
)
def test_the_next_step_follows_from_the_state(before: Payment, step: Step | None):
    assert next_step(before) is step


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"), [(0, 0, 2), (1, 0, 4), (3, 0, 16), (3, 1, 8), (5, 0, 60), (1000, 0, 60), (1000, 1, 30)]
)
def test_pauses_double_up_to_a_minute(attempts: int, jitter: float, seconds: float):
    assert pause_after(attempts, jitter) == timedelta(seconds=seconds) <= LONGEST_PAUSE


SAYINGS = st.one_of(
    st.builds(report, st.sampled_from(list(State)), st.none() | st.integers(0, 9).map(lambda hours: THEN + timedelta(hours=hours))),
    st.just(VOID),
    st.just(Link("o", "there")),
)


@given(st.lists(SAYINGS, max_size=30))
def test_whatever_comes_in_whatever_order_money_moves_once_and_back_once(commands: list[Report | Void | Link]):
    now, states = at_gateway(State.PENDING, link="", due_at=NOW), [State.PENDING]
    for command in commands:
        now = after(command, now)
        if now.state is not states[-1]:
            states.append(now.state)
        assert (now.due_at is not None) >= (next_step(now) is not None and now.state is not State.VOIDED)

    assert states.count(State.CAPTURED) <= 1
    assert states.count(State.REFUNDING) <= 1
    assert len(states) == len(set(states)) == now.version
    if VOID in commands:
        assert now.state in (State.VOIDED, State.REFUNDING, State.REFUNDED)
