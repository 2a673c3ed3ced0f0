from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.kit.ids import uuid7
from tests.sandbox import Door, SandboxClient, running_sandbox
from tools.secrets import make_missing
from tools.shop import Refused
from tools.shop.paying import Bank


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    folder = tmp_path_factory.mktemp("bank")
    make_missing(folder)
    door = Door()
    with running_sandbox(folder, folder, door.url) as (_, client):
        yield client
    door.close()


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = Bank()
    yield bank
    bank.close()


def opened(gateway: SandboxClient) -> tuple[str, str]:
    """A payment's id and its link."""
    payment_id = uuid7()
    payment = {"paymentId": payment_id, "method": "UPI", "currency": "USD", "minorUnits": 1999, "reference": payment_id}
    return payment_id, gateway.http.post("/v1/payments", json=payment).json()["link"]


async def test_a_customer_pays_by_the_link(gateway: SandboxClient, bank: Bank):
    payment_id, link = opened(gateway)
    await bank.pay(link)

    assert gateway.entries(payment_id) == ["CAPTURED"]


async def test_what_was_given_up_cannot_be_paid(gateway: SandboxClient, bank: Bank):
    payment_id, link = opened(gateway)
    gateway.http.post(f"/v1/payments/{payment_id}/void")
    with pytest.raises(Refused) as caught:
        await bank.pay(link)

    assert caught.value.reason == "PAYMENT_HTTP_409"


async def test_a_gateway_that_is_away_is_unreachable(bank: Bank):
    with pytest.raises(Refused) as caught:
        await bank.pay("http://127.0.0.1:1/pay/token")

    assert caught.value.reason == "UNREACHABLE"
