"""Orders that are paid before they are confirmed, through the edge, with the gateway's own process and all that goes wrong there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sandbox.webhooks import sign
from tests.flow.edge.client import Edge, order_of, refusal
from tests.sandbox import SandboxClient

pytestmark = pytest.mark.edge
LAMP, UNITS = "edge-paid-lamp", 1000
CATEGORY = "edge-paid"


@pytest.fixture(scope="module")
def bank(edge: Edge) -> Iterator[SandboxClient]:
    """The gateway; a lamp is on sale that only these tests buy."""
    edge.stock({"productId": LAMP, "title": "Lamp", "categoryPath": ["Edge paid"]}, units=UNITS)
    client = edge.running.sandbox()
    yield client
    client.http.close()


class Buy:
    """One order of a lamp, and what becomes of it."""

    def __init__(self, edge: Edge, bank: SandboxClient, method: str = "UPI", key: str = "") -> None:
        self.edge, self.bank = edge, bank
        self.customer = edge.customer()
        self.stock = self.in_stock()
        self.answer = edge.ok("POST", "/v1/orders", order_of(self.customer, LAMP, paymentMethod=method), user=self.customer, key=key)
        self.order_id = self.answer["order"]["orderId"]
        self.link = self.answer["paymentLink"]

    def stands(self) -> tuple[str, str]:
        order = self.read()
        return order["state"], order["paymentState"]

    def read(self) -> dict[str, Any]:
        return self.edge.ok("GET", f"/v1/orders/{self.order_id}", user=self.customer)["order"]

    def becomes(self, state: str, payment_state: str, seconds: float = 15) -> None:
        self.edge.eventually(self.stands, lambda found: found == (state, payment_state), seconds)

    def entries(self) -> list[str]:
        return self.bank.entries(self.order_id)

    def cancel(self) -> tuple[str, str]:
        order = self.edge.ok("POST", f"/v1/orders/{self.order_id}:cancel", {}, user=self.customer)["order"]
        return order["state"], order["paymentState"]

    def ask_for_link(self) -> Any:
        return self.edge.call("GET", f"/v1/orders/{self.order_id}/paymentLink", user=self.customer)

    def in_stock(self) -> tuple[int, int]:
        """(on hand, reserved) lamps."""
        [balance] = self.edge.ok("GET", f"/v1/inventory/{LAMP}/balances", user=self.edge.admin)["balances"]
        return int(balance["onHand"]), int(balance["reserved"])

    def let_time_pass(self, minutes: int) -> None:
        """Until the reaper comes to an order that was opened so long ago."""
        with psycopg.connect(self.edge.running.servers.database("orders"), autocommit=True) as connection:
            connection.execute(
                "UPDATE orders SET created_at = created_at - %s, due_at = now() - interval '1 second' WHERE order_id = %s",
                [timedelta(minutes=minutes), self.order_id],
            )


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


def test_webhooks_that_come_twice_and_late_confirm_once(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank, "CARD")
    with bank.switched(duplicate_webhooks=2, webhook_delay_seconds=0.5):
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


def test_a_decline_that_is_overtaken_by_the_payment_cancels_nothing(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    with bank.switched(disorder=True):
        bank.decline(buy.link)
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")
    time.sleep(1.5)  # the decline's webhook is a second late; that nothing follows from it shows only afterwards

    assert buy.stands() == ("CONFIRMED", "CAPTURED")


def test_a_webhook_may_come_before_the_answer_to_the_call_that_caused_it(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank, "CARD")
    with bank.switched(answer_delay_seconds=2.0):
        bank.pay(buy.link)
        buy.becomes("CONFIRMED", "CAPTURED")

    assert buy.entries() == ["AUTHORIZED", "CAPTURED"]


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

    again = edge.ok("POST", "/v1/orders", order_of(buy.customer, LAMP, paymentMethod="UPI"), user=buy.customer, key=key)

    assert (again["order"]["orderId"], again["paymentLink"]) == (buy.order_id, buy.link)


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


def webhook(edge: Edge, body: bytes, *, age: int = 0, signed: bytes | None = None) -> Any:
    """A webhook as the gateway would have signed it so many seconds ago."""
    keyring = edge.running.home.folder("secrets") / "sandbox.json"
    header = sign(signed if signed is not None else body, keyring, int(time.time()) - age)
    headers = {"sandbox-signature": header, "content-type": "application/json"}
    return edge.call("POST", "/v1/payments/webhook/sandbox", content=body, headers=headers)


def body_of(edge: Edge, buy: Buy, state: str) -> bytes:
    with psycopg.connect(edge.running.servers.database("payments")) as connection:
        row = connection.execute("SELECT payment_id, minor_units FROM payments WHERE order_id = %s", [buy.order_id]).fetchone()
    assert row is not None
    # Blanks that no JSON writer makes: the signature is over the bytes as they came.
    text = (
        f'{{ "paymentId" : "{row[0]}",\n"state":"{state}","currency":"USD","minorUnits":{row[1]},"reason":"","changedAt":{time.time()} }}'
    )
    return text.encode()


def test_a_signature_is_over_the_very_bytes(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    body = body_of(edge, buy, "FAILED")

    assert refusal(webhook(edge, body.replace(b" ", b""), signed=body)) == (401, "WEBHOOK_REFUSED")
    assert refusal(webhook(edge, body, age=301)) == (401, "WEBHOOK_REFUSED")
    assert buy.stands() == ("PAYMENT_PENDING", "PENDING")
    assert webhook(edge, body, age=200).json() == {}
    buy.becomes("CANCELLED", "VOIDED")


def test_a_webhook_is_no_longer_than_256_kib(edge: Edge):
    assert refusal(webhook(edge, b"x" * (256 * 1024 + 1))) == (413, "VALIDATION_FAILED")
    assert refusal(webhook(edge, b"x" * (256 * 1024 - 1))) == (400, "VALIDATION_FAILED")


def test_a_webhook_of_an_unknown_payment_is_not_found(edge: Edge):
    body = f'{{"paymentId":"{uuid.uuid4()}","state":"CAPTURED","currency":"USD","minorUnits":1,"reason":"","changedAt":0}}'.encode()

    assert refusal(webhook(edge, body)) == (404, "PAYMENT_NOT_FOUND")


def test_a_gateway_without_a_contract_is_not_found(edge: Edge):
    assert refusal(edge.call("POST", "/v1/payments/webhook/nobody", {})) == (404, "GATEWAY_NOT_FOUND")


def test_a_webhook_of_another_amount_is_refused_and_changes_nothing(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    body = body_of(edge, buy, "CAPTURED").replace(b'"minorUnits":', b'"minorUnits":1')

    assert refusal(webhook(edge, body)) == (400, "PAYMENT_DIFFERS")
    assert buy.stands() == ("PAYMENT_PENDING", "PENDING")


def test_links_and_keys_are_in_no_log(edge: Edge, bank: SandboxClient):
    buy = Buy(edge, bank)
    bank.pay(buy.link)
    buy.becomes("CONFIRMED", "CAPTURED")
    token = buy.link.rpartition("/")[2]
    logs: list[Path] = [*edge.running.logs.glob("*"), *edge.running.traces.glob("*")]

    assert [
        log.name for log in logs if any(secret.encode() in log.read_bytes() for secret in (token, edge.running.secret("sandbox_key")))
    ] == []
