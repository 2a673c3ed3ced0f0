"""Orders that are given up before or after they are paid: stock and money go back."""

from __future__ import annotations

import pytest

from tests.flow.edge.buying import Buy
from tests.flow.edge.client import Edge
from tests.sandbox import SandboxClient

pytestmark = pytest.mark.edge


def test_a_paid_order_that_is_cancelled_gets_its_money_back(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.cancel() in [("CANCELLED", "REFUNDING"), ("CANCELLED", "REFUNDED")]
    buy.becomes("CANCELLED", "REFUNDED")

    assert buy.entries() == ["CAPTURED", "REFUNDED"]
    assert buy.in_stock() == buy.stock


def test_a_refund_waits_for_a_gateway_that_is_down(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")
    with bank.switched(down=True):
        assert buy.cancel() == ("CANCELLED", "REFUNDING")
        assert buy.entries() == ["CAPTURED"]

    buy.becomes("CANCELLED", "REFUNDED")


def test_an_order_cancelled_before_it_is_paid_cannot_be_paid(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)

    assert buy.cancel() == ("CANCELLED", "VOIDED")
    edge.eventually(buy.entries, lambda entries: entries == ["VOIDED"])

    assert bank.pay(buy.link) == 409


def test_a_payment_that_comes_after_the_cancellation_goes_back(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    with bank.switched(down=True):
        assert buy.cancel() == ("CANCELLED", "VOIDED")
        assert bank.pay(buy.link) == 303

    buy.becomes("CANCELLED", "REFUNDED")

    assert buy.entries() == ["CAPTURED", "REFUNDED"]
    assert buy.in_stock() == buy.stock


def test_an_order_that_nobody_pays_in_time_is_cancelled_and_a_late_payment_goes_back(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)

    buy.let_time_pass(minutes=20)
    buy.becomes("CANCELLED", "VOIDED")
    assert buy.read()["cancelReason"] == "EXPIRED"
    assert buy.in_stock() == buy.stock
    edge.eventually(buy.entries, lambda entries: entries == ["VOIDED"])

    with bank.switched(late=True):
        assert bank.pay(buy.link) == 303
    buy.becomes("CANCELLED", "REFUNDED")


def test_a_customer_has_the_whole_time_whenever_the_reaper_looks(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    due = buy.answer["order"]["dueTime"]

    buy.let_time_pass(minutes=1)
    edge.eventually(lambda: buy.read()["dueTime"], lambda found: found > buy.answer["order"]["createTime"] and found < due)

    assert buy.stands() == ("PAYMENT_PENDING", "PENDING")


def test_the_reaper_asks_before_it_gives_an_order_up(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    with bank.switched(lose_webhooks=True):
        bank.pay(buy.link)
        buy.let_time_pass(minutes=20)
        buy.becomes("CONFIRMED", "CAPTURED")
