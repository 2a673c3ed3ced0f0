"""What every payment gateway's adapter does, proven against its real gateway. An adapter more is a line more in `gateway`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.kit.ids import uuid7
from services.kit.money import Money
from services.kit.secrets import Secrets
from services.payments.gateway import Gateway, GatewayAway, WebhookRefused
from services.payments.gateways import connect
from services.payments.model import Method, Payment, State
from tests.sandbox import Door, SandboxClient, running_sandbox
from tests.shop import eventually
from tools.secrets import make_missing
from tools.servers import Running
from tools.servers.sandbox import Sandbox


@dataclass(frozen=True)
class Bank:
    """The gateway's process and what its webhooks knock at."""

    client: SandboxClient
    door: Door
    secrets: Secrets


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    folder = tmp_path_factory.mktemp("bank")
    make_missing(folder)
    door = Door()
    with running_sandbox(folder, folder, door.url) as (_, client):
        yield Bank(client, door, Secrets(folder))
    door.close()


@pytest.fixture
async def gateway(bank: Bank) -> AsyncIterator[Gateway]:
    [gateway] = connect(f"sandbox={bank.client.url}", bank.secrets)
    yield gateway
    await gateway.close()


@pytest.fixture
def payment() -> Payment:
    return new(Method.CARD)


def new(method: Method) -> Payment:
    now = datetime.now(UTC)
    return Payment(uuid7(), uuid7(), State.PENDING, now, now, method=method, amount=Money("INR", 123456), gateway="sandbox")


def test_it_says_what_it_is_called_and_takes(gateway: Gateway):
    assert (gateway.name, gateway.methods) == ("sandbox", {Method.UPI, Method.CARD})


async def test_a_payment_that_it_never_heard_of_is_unknown(gateway: Gateway, payment: Payment):
    assert await gateway.status(payment) is None
    for call in (gateway.capture, gateway.void, gateway.refund):
        with pytest.raises(GatewayAway):
            await call(payment)


async def test_a_payment_is_opened_once(gateway: Gateway, bank: Bank, payment: Payment):
    links = await asyncio.gather(*(gateway.open(payment) for _ in range(8)))

    assert len(set(links)) == 1
    notice = await gateway.status(payment)
    assert notice is not None
    assert (notice.payment_id, notice.state, notice.amount, notice.reason) == (payment.payment_id, State.PENDING, payment.amount, "")
    assert "INR 1,234.56" in bank.client.page(links[0])


async def test_a_card_is_captured_once_and_refunded_once(gateway: Gateway, bank: Bank, payment: Payment):
    bank.client.pay(await gateway.open(payment))
    assert (await status(gateway, payment)) is State.AUTHORIZED

    captured = await asyncio.gather(*(gateway.capture(payment) for _ in range(8)))
    refunded = await asyncio.gather(*(gateway.refund(payment) for _ in range(8)))

    assert {notice.state for notice in captured} == {State.CAPTURED}
    assert {notice.state for notice in refunded} == {State.REFUNDED}
    assert bank.client.entries(payment.order_id) == ["AUTHORIZED", "CAPTURED", "REFUNDED"]


async def test_upi_is_captured_by_paying(gateway: Gateway, bank: Bank):
    payment = new(Method.UPI)
    bank.client.pay(await gateway.open(payment))

    assert (await gateway.capture(payment)).state is State.CAPTURED
    assert bank.client.entries(payment.order_id) == ["CAPTURED"]


async def test_the_time_of_every_state_is_later_than_that_of_the_one_before(gateway: Gateway, bank: Bank, payment: Payment):
    link = await gateway.open(payment)
    notices = [await gateway.status(payment)]
    bank.client.decline(link)
    notices.append(await gateway.status(payment))
    bank.client.pay(link)
    notices += [await gateway.status(payment), await gateway.capture(payment), await gateway.refund(payment)]

    states = [notice.state for notice in notices if notice]
    times = [notice.at for notice in notices if notice and notice.at]
    assert states == [State.PENDING, State.FAILED, State.AUTHORIZED, State.CAPTURED, State.REFUNDED]
    assert times == sorted(set(times))
    assert notices[1] is not None
    assert notices[1].reason == "DECLINED"


@pytest.mark.parametrize("outcome", ["", "decline", "pay"])
async def test_what_is_not_captured_can_be_given_up(gateway: Gateway, bank: Bank, payment: Payment, outcome: str):
    link = await gateway.open(payment)
    if outcome:
        getattr(bank.client, outcome)(link)

    assert [(await gateway.void(payment)).state for _ in range(2)] == [State.VOIDED, State.VOIDED]
    assert bank.client.pay(link) == 409


async def test_what_is_captured_is_not_given_up_but_said(gateway: Gateway, bank: Bank):
    payment = new(Method.UPI)
    bank.client.pay(await gateway.open(payment))

    assert (await gateway.void(payment)).state is State.CAPTURED


async def test_a_call_in_the_wrong_state_moves_nothing(gateway: Gateway, bank: Bank, payment: Payment):
    await gateway.open(payment)

    assert (await gateway.capture(payment)).state is State.PENDING
    assert (await gateway.refund(payment)).state is State.PENDING
    assert bank.client.entries(payment.order_id) == []


async def test_every_webhook_is_signed_and_says_what_the_status_says(gateway: Gateway, bank: Bank, payment: Payment):
    bank.client.pay(await gateway.open(payment))
    await eventually(lambda: _count(bank, payment), 1)
    [(headers, body)] = [(headers, body) for headers, body in bank.door.heard if payment.payment_id.encode() in body]

    assert gateway.read_webhook(headers, body) == await gateway.status(payment)
    with pytest.raises(WebhookRefused):
        gateway.read_webhook(headers, body + b" ")
    with pytest.raises(WebhookRefused):
        gateway.read_webhook({}, body)


async def test_a_webhook_comes_again_until_it_is_confirmed(gateway: Gateway, bank: Bank, payment: Payment):
    answers = iter([500, 401])
    bank.door.hear = lambda headers, body: next(answers, 200)
    bank.client.pay(await gateway.open(payment))

    await eventually(lambda: _count(bank, payment), 3)

    bodies = {body for _, body in bank.door.heard if payment.payment_id.encode() in body}
    assert len(bodies) == 1


async def _count(bank: Bank, payment: Payment) -> int:
    return sum(payment.payment_id.encode() in body for _, body in bank.door.heard)


@pytest.mark.parametrize(
    "trouble", [{"down": True}, {"unknown": True}, {"answer_delay_seconds": 6.0}], ids=["down", "answers 500", "silent"]
)
async def test_no_answer_is_told_from_every_answer(gateway: Gateway, bank: Bank, payment: Payment, trouble: dict[str, float]):
    with bank.client.switched(**trouble):
        with pytest.raises(GatewayAway) as away:
            await gateway.open(payment)
        assert away.value.metadata == {"gateway": "sandbox"}

    assert await status(gateway, payment) is (None if "down" in trouble else State.PENDING)


async def test_nobody_there_is_away_too(bank: Bank, payment: Payment):
    [gateway] = connect("sandbox=http://127.0.0.1:9", bank.secrets)
    with pytest.raises(GatewayAway):
        await gateway.open(payment)
    await gateway.close()


async def test_another_shops_key_is_no_key(bank: Bank, payment: Payment, tmp_path: Path):
    make_missing(tmp_path)
    [gateway] = connect(f"sandbox={bank.client.url}", Secrets(tmp_path))
    with pytest.raises(GatewayAway):
        await gateway.open(payment)
    await gateway.close()


async def status(gateway: Gateway, payment: Payment) -> State | None:
    notice = await gateway.status(payment)
    return notice.state if notice else None


@pytest.mark.parametrize("setting", ["nobody=http://127.0.0.1:1", "sandbox", "sandbox=ftp://there", "sandbox=", "=http://there"])
def test_a_gateway_that_is_none_is_a_plain_sentence(setting: str, tmp_path: Path):
    make_missing(tmp_path)
    with pytest.raises(ValueError) as refused:
        connect(setting, Secrets(tmp_path))

    assert str(refused.value) == f"BAZAAR_GATEWAYS wants name=url with a name out of sandbox, not: {setting}"


def test_no_gateway_is_none(tmp_path: Path):
    assert connect("", Secrets(tmp_path)) == []


async def test_a_killed_gateway_forgets_nothing(tmp_path: Path):
    make_missing(tmp_path)
    door, payment = Door(), new(Method.CARD)
    door.hear = lambda headers, body: 500
    server = Sandbox(tmp_path / "sandbox", tmp_path, door.url)
    with Running(server, tmp_path / "one.log") as running:
        client = SandboxClient(server.url, (tmp_path / "sandbox_key").read_text().strip())
        [gateway] = connect(f"sandbox={server.url}", Secrets(tmp_path))
        client.pay(await gateway.open(payment))
        client.http.post("/switches", json={"webhook_delay_seconds": 3})
        await gateway.capture(payment)
        assert running._process is not None
        os.kill(running._process.pid, signal.SIGKILL)
    door.heard.clear()
    door.hear = lambda headers, body: 200
    with Running(Sandbox(tmp_path / "sandbox", tmp_path, door.url, server.port), tmp_path / "two.log"):
        assert await status(gateway, payment) is State.CAPTURED
        assert client.http.get("/switches").json()["webhook_delay_seconds"] == 3
        await eventually(lambda: _heard(door), ["AUTHORIZED", "CAPTURED"])
    await gateway.close()
    door.close()


async def _heard(door: Door) -> list[str]:
    return [state for _, body in door.heard for state in ("AUTHORIZED", "CAPTURED") if state.encode() in body]


@pytest.mark.parametrize("wanted", [{"nonsense": True}, {"down": 1}, {"duplicate_webhooks": -1}, {"webhook_delay_seconds": "soon"}, []])
def test_a_switch_that_is_none_is_refused(bank: Bank, wanted: object):
    before = bank.client.http.get("/switches").json()

    assert bank.client.http.post("/switches", json=wanted).status_code == 400
    assert bank.client.http.get("/switches").json() == before


def test_nobody_reads_the_books_without_the_key(bank: Bank):
    for path in ("/books", "/switches", "/v1/payments/x"):
        assert bank.client.http.get(path, headers={"authorization": "Bearer guess"}).status_code == 401


def test_the_same_payment_with_another_amount_is_refused(bank: Bank):
    body = {"paymentId": uuid7(), "method": "UPI", "currency": "INR", "minorUnits": 1, "reference": "r"}

    assert bank.client.http.post("/v1/payments", json=body).status_code == 200
    answer = bank.client.http.post("/v1/payments", json={**body, "minorUnits": 2})
    assert (answer.status_code, answer.json()["minorUnits"]) == (409, 1)


@pytest.mark.parametrize(
    "change", [{"minorUnits": -1}, {"minorUnits": True}, {"minorUnits": "1"}, {"method": "COD"}, {"paymentId": "../x"}, {"paymentId": 1}]
)
def test_what_cannot_be_a_payment_is_refused(bank: Bank, change: dict[str, object]):
    body = {"paymentId": uuid7(), "method": "UPI", "currency": "INR", "minorUnits": 1, "reference": "r", **change}

    assert bank.client.http.post("/v1/payments", json=body).status_code == 400


def test_a_page_shows_what_it_is_told_as_text(bank: Bank):
    body = {"paymentId": uuid7(), "method": "UPI", "currency": "<b>", "minorUnits": 1, "reference": "<script>alert(1)</script>"}
    link = bank.client.http.post("/v1/payments", json=body).json()["link"]

    assert "<script" not in bank.client.page(link)
    assert bank.client.page(link + "x") == "There is no such payment.\n"
