"""Who guesses passwords, over a real socket and on a real Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError
from redis import Redis

from bazaar.users.v1.users_service_pb2_grpc import UsersServiceStub
from services.kit.errors import Overloaded
from services.kit.events.postgres_bus import MIGRATIONS as EVENT_MIGRATIONS
from services.kit.limits.attempts import Attempts
from services.kit.migrations import migrate
from services.kit.redis import open_redis
from services.kit.rpc.calls import ADDRESS
from services.kit.secrets import Secrets
from services.users import SERVICE
from services.users.access import CredentialsInvalid, TooManyAttempts, place_of
from services.users.attempts import LoginAttempts
from services.users.tokens import SigningKeys
from tests.serving import Client, details_of, refused, serving
from tests.unit.users.accounts import log_in, register
from tools.secrets import make_missing
from tools.servers import free_port


@pytest.fixture(scope="module")
async def guest(users_url, postgres, tmp_path_factory, short_directory, emptied_redis_url) -> AsyncIterator[Client]:
    events_url = postgres.fresh_database()
    await migrate(events_url, [("events", EVENT_MIGRATIONS)])
    urls = {"database_url": users_url, "events_url": events_url, "redis_url": emptied_redis_url}
    async with serving([SERVICE], tmp_path_factory.mktemp("attempts-secrets"), short_directory, **urls) as channel:
        yield Client(UsersServiceStub(channel))


@pytest.fixture
def keys(tmp_path) -> SigningKeys:
    make_missing(tmp_path)
    return SigningKeys(Secrets(tmp_path))


@pytest.fixture
async def attempts(empty_redis_url, keys) -> AsyncIterator[LoginAttempts]:
    redis = open_redis(empty_redis_url)
    yield LoginAttempts(Attempts(redis), keys)
    await redis.aclose()


async def outcome(guest: Client, email: str, password: str) -> Any:
    try:
        return await log_in(guest, email, password)
    except AioRpcError as error:
        return error


async def fail(attempts: LoginAttempts, email: str, address: str) -> type[Exception]:
    try:
        async with attempts.attempt(email, address):
            raise CredentialsInvalid
    except (CredentialsInvalid, TooManyAttempts) as error:
        return type(error)


@pytest.mark.parametrize("is_known", [True, False])
async def test_of_200_guesses_at_once_20_are_answered(guest, empty_redis_url, is_known):
    email = (await register(guest))[1] if is_known else f"nobody-{is_known}@example.com"
    errors = await asyncio.gather(*(outcome(guest, email, f"guess {number}") for number in range(200)))

    assert Counter(details_of(error)[:2] for error in errors) == {
        ("UNAUTHENTICATED", "CREDENTIALS_INVALID"): 20,
        ("RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS"): 180,
    }


async def test_the_right_password_is_refused_like_any_other_then(guest, empty_redis_url):
    _, email = await register(guest)
    await asyncio.gather(*(outcome(guest, email, f"guess {number}") for number in range(20)))

    assert await refused(log_in(guest, email)) == ("RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS", {})


async def test_a_refusal_says_when_to_come_back_in_words_of_grpc_and_of_http(guest, empty_redis_url):
    await asyncio.gather(*(outcome(guest, "nobody@example.com", f"guess {number}") for number in range(20)))
    error = await outcome(guest, "nobody@example.com", "guess")
    metadata, status, retry = dict(error.trailing_metadata()), status_pb2.Status(), error_details_pb2.RetryInfo()
    status.ParseFromString(metadata["grpc-status-details-bin"])

    assert any(detail.Unpack(retry) for detail in status.details)
    assert 30 < retry.retry_delay.seconds < 60
    assert int(metadata["retry-after"]) == retry.retry_delay.seconds + 1


async def test_whoever_knows_the_password_is_not_held_up(guest, empty_redis_url):
    _, email = await register(guest)

    for _ in range(25):
        assert (await log_in(guest, email)).access_token


async def test_300_failures_from_one_address_are_answered(attempts):
    outcomes = [await fail(attempts, f"user-{number}@example.com", "203.0.113.9") for number in range(305)]

    assert Counter(outcomes) == {CredentialsInvalid: 300, TooManyAttempts: 5}


async def test_other_addresses_go_on(attempts):
    for number in range(300):
        await fail(attempts, f"user-{number}@example.com", "203.0.113.9")

    assert await fail(attempts, "asha@example.com", "203.0.113.10") is CredentialsInvalid


async def test_200_who_log_in_at_once_from_one_address_are_let_in(attempts):
    passed: list[int] = []

    async def log_in_right(number: int) -> None:
        async with attempts.attempt(f"user-{number}@example.com", "203.0.113.9"):
            passed.append(number)

    for _ in range(3):
        await asyncio.gather(*(log_in_right(number) for number in range(200)))

    assert len(passed) == 600


async def test_an_attempt_that_nobody_had_time_for_is_none(attempts):
    for _ in range(25):
        with pytest.raises(Overloaded):
            async with attempts.attempt("asha@example.com", ""):
                raise Overloaded("too many passwords are waiting")

    assert await fail(attempts, "asha@example.com", "") is CredentialsInvalid


async def test_an_address_counts_as_the_edge_says(guest, empty_redis_url):
    await outcome(guest.having((ADDRESS, "203.0.113.9")), "nobody@example.com", "guess")

    with Redis.from_url(empty_redis_url) as redis:
        kinds = sorted(key.decode().partition("{")[2].partition(":")[0] for key in redis.scan_iter("attempts:*"))
    assert kinds == ["email", "place"]


async def test_neither_emails_nor_addresses_are_in_redis(attempts, empty_redis_url):
    await fail(attempts, "asha@example.com", "203.0.113.9")

    with Redis.from_url(empty_redis_url) as redis:
        kept = b"".join(key + b"".join(redis.zrange(key, 0, -1)) for key in redis.scan_iter("attempts:*"))
    assert kept
    assert b"asha" not in kept
    assert b"203.0.113" not in kept


async def test_logins_go_on_while_redis_is_away(keys):
    redis = open_redis(f"redis://:x@127.0.0.1:{free_port()}")
    outcomes = [await fail(LoginAttempts(Attempts(redis), keys), "asha@example.com", "203.0.113.9") for _ in range(25)]
    await redis.aclose()

    assert set(outcomes) == {CredentialsInvalid}


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("@", ""),
        ("", ""),
    ],
)
def test_an_ipv6_address_stands_for_its_network(address, place):
    assert place_of(address) == place
