"""Orders that are paid before they are confirmed, through the edge, with the gateway's own process and all that goes wrong there."""

from __future__ import annotations

import uuid

import pytest

from tests.flow.edge.buying import CATEGORY, PAID_LAMP, Buy
from tests.flow.edge.client import Edge, order_of, refusal
from tests.sandbox import SandboxClient

pytestmark = pytest.mark.edge


def test_an_order_waits_for_its_payment_with_its_stock_held(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)

    order = buy.answer["order"]
    assert (order["state"], order["paymentState"], order["paymentMethod"]) == ("PAYMENT_PENDING", "PENDING", "UPI")
    assert "Pay" in bank.page(buy.link)
    assert buy.in_stock() == (buy.stock[0], buy.stock[1] + 1)


def test_upi_confirms_an_order_and_counts_it(edge: Edge, bank: SandboxClient):
    ranked = edge.ok("GET", f"/v1/queryTopProducts?category={CATEGORY}")["products"]
    before = int(ranked[0]["orders"]) if ranked else 0
    buy = Buy(edge, bank)

    assert bank.pay(buy.link) == 303
    buy.becomes("CONFIRMED", "CAPTURED")

    assert [entry["state"] for entry in buy.read()["timeline"]] == ["CREATED", "PAYMENT_PENDING", "CONFIRMED"]
    assert buy.entries() == ["CAPTURED"]
    assert buy.in_stock() == (buy.stock[0] - 1, buy.stock[1])
    edge.eventually(
        lambda: edge.ok("GET", f"/v1/queryTopProducts?category={CATEGORY}")["products"],
        lambda rows: rows and int(rows[0]["orders"]) == before + 1,
    )


def test_a_card_is_authorized_then_captured_then_the_order_is_confirmed(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank, "CARD")

    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


def test_a_declined_payment_cancels_the_order_and_gives_the_stock_back(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)

    bank.decline(buy.link)
    buy.becomes("CANCELLED", "VOIDED")

    order = buy.read()
    assert [entry["state"] for entry in order["timeline"]] == ["CREATED", "PAYMENT_PENDING", "PAYMENT_FAILED", "CANCELLING", "CANCELLED"]
    assert (order["cancelReason"], order["timeline"][2]["reason"]) == ("PAYMENT_FAILED", "DECLINED")
    assert buy.in_stock() == buy.stock


@pytest.mark.parametrize("method", ["UPI", "CARD"])
def test_a_lost_webhook_is_made_good_by_asking(edge: Edge, bank: SandboxClient, method: str):
    buy = Buy(edge, bank, method)
    with bank.switched(lose_webhooks=True):
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")


@pytest.mark.parametrize("trouble", [{"unknown": True}, {"answer_delay_seconds": 4.0}], ids=["answers 500", "never answers in time"])
def test_what_the_gateway_did_without_saying_so_is_found_out(edge: Edge, bank: SandboxClient, trouble: dict[str, float]):
    with bank.switched(**trouble):
        buy = Buy(edge, bank, "CARD")
        assert (buy.answer["order"]["state"], buy.link) == ("PAYMENT_PENDING", "")
    link = edge.eventually(buy.ask_for_link, lambda answer: answer.status_code == 200).json()["paymentLink"]

    bank.pay(link)
    buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


def test_an_order_is_taken_while_the_gateway_is_down_and_its_link_comes_later(edge: Edge, bank: SandboxClient):
    with bank.switched(down=True):
        buy = Buy(edge, bank)
        assert (buy.answer["order"]["state"], buy.link) == ("PAYMENT_PENDING", "")
        away = buy.ask_for_link()
        assert refusal(away) == (503, "GATEWAY_AWAY")
        assert any(detail["@type"].endswith("RetryInfo") for detail in away.json()["details"])

    bank.pay(edge.eventually(buy.ask_for_link, lambda answer: answer.status_code == 200).json()["paymentLink"])

    buy.becomes("CONFIRMED", "CAPTURED")


def test_a_link_is_given_again_while_there_is_something_to_pay(edge: Edge, bank: SandboxClient):
    buy, cash = Buy(edge, bank), Buy(edge, bank, "COD")
    assert buy.ask_for_link().json() == {"paymentLink": buy.link}
    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")

    assert refusal(buy.ask_for_link()) == (400, "NOTHING_TO_PAY")
    assert refusal(cash.ask_for_link()) == (400, "NOTHING_TO_PAY")
    assert refusal(edge.call("GET", f"/v1/orders/{buy.order_id}/paymentLink", user=cash.customer)) == (404, "ORDER_NOT_FOUND")


def test_a_repeat_of_the_order_gives_the_same_order_and_link(edge: Edge, bank: SandboxClient):
    key = uuid.uuid4().hex
    buy = Buy(edge, bank, key=key)

    again = edge.ok("POST", "/v1/orders", order_of(buy.customer, PAID_LAMP, paymentMethod="UPI"), user=buy.customer, key=key)

    assert (again["order"]["orderId"], again["paymentLink"]) == (buy.order_id, buy.link)
