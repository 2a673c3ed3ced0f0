import asyncio
from datetime import timedelta

import pytest

from bazaar.users.v1.users_service_pb2 import GetUserRequest, LogoutRequest, RegisterRequest
from services.kit.auth import Principal
from services.kit.errors import DeadlineExceeded
from services.kit.rpc import calls
from services.kit.rpc.calls import Call
from services.kit.rpc.methods import facts_of
from services.kit.rpc.validation import ValidationFailed, check, validation_of

USER = Principal("user", "u1")


async def key_of(request: RegisterRequest, key: str = "k1") -> object:
    async def answer() -> object:
        calls.enter(Call("/s/M", "edge", USER, idempotency_key=key))
        return calls.request_key(request)

    return await asyncio.create_task(answer())


async def test_the_same_request_has_the_same_key_whatever_its_id():
    assert await key_of(RegisterRequest(email="a@b.c", request_id="k1")) == await key_of(RegisterRequest(email="a@b.c"))


async def test_another_body_has_another_fingerprint():
    assert await key_of(RegisterRequest(email="a@b.c")) != await key_of(RegisterRequest(email="x@b.c"))


async def test_a_request_without_an_id_has_no_key():
    assert await key_of(RegisterRequest(email="a@b.c"), key="") is None


async def test_making_the_key_leaves_the_request_alone():
    request = RegisterRequest(email="a@b.c", request_id="k1")
    await key_of(request)

    assert request.request_id == "k1"


async def test_work_past_its_budget_is_cancelled():
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(DeadlineExceeded):
        await calls.outlive_caller(work(), timedelta(milliseconds=10))
    assert cancelled.is_set()


async def test_work_beside_a_call_has_no_deadline():
    async def answer() -> float | None:
        calls.enter(Call("/s/M", "edge", USER, deadline=0.0))

        async def work() -> float | None:
            return calls.current().remaining()

        return await calls.beside(work())

    assert await asyncio.create_task(answer()) is None


def test_outside_of_a_call_there_is_none():
    with pytest.raises(LookupError):
        calls.current()


def test_a_broken_rule_names_its_field():
    with pytest.raises(ValidationFailed) as caught:
        check(GetUserRequest(user_id="7"))

    assert (caught.value.reason, [field for field, _ in caught.value.violations]) == ("VALIDATION_FAILED", ["user_id"])


def test_a_request_that_keeps_the_rules_passes():
    check(GetUserRequest(user_id="0197f3c2-0000-7000-8000-000000000000"))


def test_a_message_without_rules_costs_no_check():
    assert validation_of(LogoutRequest.DESCRIPTOR) is None


def test_facts_come_from_the_proto():
    register, get_user = (facts_of(f"/bazaar.users.v1.UsersService/{name}") for name in ("Register", "GetUser"))

    assert [register.takes_request_id, register.is_repeatable] == [True, False]
    assert [get_user.takes_request_id, get_user.is_repeatable] == [False, True]


def test_a_method_that_no_proto_names_has_no_facts():
    assert facts_of("/bazaar.users.v1.UsersService/Nope").request is None
