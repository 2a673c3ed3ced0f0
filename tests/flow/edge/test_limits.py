"""Limits and shedding through the whole shop."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.flow.edge.client import PASSWORD, Customer, Edge
from tests.running import RunningBazaar

CATEGORIES = "/v1/categories"


@pytest.fixture
def asha(edge: Edge) -> Customer:
    return edge.customer()


async def guesses(edge: Edge, email: str, times: int) -> list[httpx.Response]:
    """Wrong passwords, all at once, each from an address that the client makes up."""
    async with httpx.AsyncClient(base_url=edge.running.url, timeout=60, trust_env=False) as client:

        def guess(number: int) -> object:
            headers = {"x-bazaar-address": f"198.51.100.{number}", "x-forwarded-for": f"198.51.100.{number}"}
            return client.post("/v1/users/login", json={"email": email, "password": f"guess {number}"}, headers=headers)

        return list(await asyncio.gather(*(guess(number) for number in range(times))))


async def test_of_60_guesses_at_once_20_are_answered_and_the_others_told_when_to_come_back(edge: Edge, asha: Customer):
    answers = await guesses(edge, asha.email, 60)

    assert Counter(answer.status_code for answer in answers) == {401: 20, 429: 40}
    waits = [int(answer.headers["retry-after"]) for answer in answers if answer.status_code == 429]
    assert 1 <= min(waits) <= max(waits) <= 60


async def test_nobody_can_see_whether_there_is_such_an_account(edge: Edge, asha: Customer):
    refusals = [
        next(answer for answer in await guesses(edge, email, 40) if answer.status_code == 429)
        for email in (asha.email, f"{uuid.uuid4().hex}@example.org")
    ]

    known, unknown = ([detail for detail in refusal.json()["details"] if "reason" in detail] for refusal in refusals)
    assert known == unknown
    assert refusals[0].headers.keys() == refusals[1].headers.keys()


def test_others_log_in_meanwhile(edge: Edge, asha: Customer):
    answer = edge.call("POST", "/v1/users/login", {"email": asha.email, "password": PASSWORD})

    assert answer.status_code == 200


def test_an_answer_says_what_its_user_has_left(edge: Edge, asha: Customer):
    headers = edge.call("GET", "/v1/orders", user=asha).headers

    assert headers["x-ratelimit-limit"] == "1000"
    assert 998 <= int(headers["x-ratelimit-remaining"]) <= 1000


@pytest.fixture
def switch(running: RunningBazaar) -> Iterator[None]:
    yield
    assert running.run("shed", "off").returncode == 0


def test_an_operator_sheds_priority_3_then_2_and_never_1(edge: Edge, running: RunningBazaar, switch: None):
    def found() -> list[int]:
        calls = [("GET", CATEGORIES), ("GET", "/v1/inventory/edge-tv/balances"), ("GET", "/v1/inventory/edge-tv/ledger")]
        return [edge.call(verb, path, user=edge.admin).status_code for verb, path in calls]

    assert found() == [200, 200, 200]
    for level, expected in (("3", [200, 200, 503]), ("2", [200, 503, 503]), ("off", [200, 200, 200])):
        assert running.run("shed", level).returncode == 0
        edge.eventually(found, lambda statuses, expected=expected: statuses == expected)


def test_a_level_that_is_none_is_refused_in_words(running: RunningBazaar):
    done = running.run("shed", "1")

    assert (done.returncode, done.stderr) == (1, "bazaar: 1 is no level of shedding; there are off, 3, 2\n")
