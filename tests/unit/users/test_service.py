"""Accounts over a real socket: one at a time, many at once, and their profiles."""

from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from google.protobuf.field_mask_pb2 import FieldMask

from bazaar.users.v1 import users_pb2
from bazaar.users.v1 import users_service_pb2 as pb
from services.kit.ids import uuid7
from tests.serving import Client, refused, user
from tests.unit.users.accounts import ADMIN, PASSWORD, claims_in, count, log_in, register

HASH = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)


# Accounts


async def test_a_registered_customer_can_log_in_with_the_email_in_any_case(guest: Client):
    user_id, email = await register(guest, f"{uuid7()}@Example.com")

    assert (await log_in(guest, email.upper())).user_id == user_id


async def test_an_email_registers_once_in_any_case(guest: Client):
    _, email = await register(guest)

    assert await refused(register(guest, email.upper())) == ("ALREADY_EXISTS", "EMAIL_TAKEN", {"index": "0"})


async def test_a_repeated_registration_answers_the_same_user(guest: Client):
    email = f"{uuid7()}@example.com"

    ids = [await register(guest.having(("idempotency-key", "k1")), email) for _ in range(2)]

    assert ids[0] == ids[1]


async def test_a_registration_key_with_another_password_is_refused(guest: Client):
    email, keyed = f"{uuid7()}@example.com", guest.having(("idempotency-key", "k1"))
    await register(keyed, email)

    code, reason, _ = await refused(keyed.Register(pb.RegisterRequest(email=email, password="another password")))

    assert (code, reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_two_strangers_may_choose_the_same_key(guest: Client):
    keyed = guest.having(("idempotency-key", "1"))

    assert (await register(keyed))[0] != (await register(keyed))[0]


async def test_a_kept_answer_holds_no_hash_that_a_password_could_be_tried_against(guest: Client, users_url: str):
    email = f"{uuid7()}@example.com"
    await register(guest.having(("idempotency-key", f"k-{email}")), email)
    plain = pb.RegisterRequest(email=email, password=PASSWORD).SerializeToString(deterministic=True)

    query = "SELECT count(*) FROM idempotency_keys WHERE key = %s AND (fingerprint = sha256(%s) OR principal LIKE '%%@%%')"
    assert count(users_url, query, f"k-{email}", plain) == 0


@pytest.mark.parametrize("fields", [{"email": "no email"}, {"password": "7 chars"}, {"first_name": "x" * 101}])
async def test_a_registration_that_breaks_a_rule_is_refused(guest: Client, fields: dict[str, str]):
    request = pb.RegisterRequest(**{"email": f"{uuid7()}@example.com", "password": PASSWORD, **fields})

    assert (await refused(guest.Register(request)))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_nul_in_a_name_is_a_fault_of_the_client(guest: Client):
    assert (await refused(register(guest, first_name="A\x00da")))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_an_email_with_a_nul_belongs_to_nobody(guest: Client):
    assert (await refused(log_in(guest, "a\x00@example.com")))[0] in ("INVALID_ARGUMENT", "UNAUTHENTICATED")


async def test_the_first_admin_can_log_in_with_the_secret(guest: Client, secrets_directory: Path):
    tokens = await log_in(guest, "admin@bazaar.local", (secrets_directory / "admin_password").read_text().strip())

    assert claims_in(tokens.access_token, secrets_directory)["roles"] == ["admin"]


# Profiles


async def test_a_profile_reads_back_for_its_owner_and_staff(guest: Client, stub: Any):
    user_id, email = await register(guest, first_name="Ada")

    profiles = [(await Client(stub, who).GetUser(pb.GetUserRequest(user_id=user_id.upper()))).user for who in (user(user_id), ADMIN)]

    assert [(profile.email, profile.first_name, list(profile.roles)) for profile in profiles] == [(email, "Ada", ["customer"])] * 2


async def test_a_profile_of_somebody_else_is_as_absent_as_one_that_never_was(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    stranger, unknown = Client(stub, user(uuid7())), uuid7()

    for wanted in (user_id, unknown):
        error = await refused(stranger.GetUser(pb.GetUserRequest(user_id=wanted)))
        assert error == ("NOT_FOUND", "USER_NOT_FOUND", {"user_id": wanted})


async def test_a_profile_cannot_be_read_without_logging_in(guest: Client):
    user_id, _ = await register(guest)

    assert (await refused(guest.GetUser(pb.GetUserRequest(user_id=user_id))))[:2] == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_an_update_changes_what_its_mask_names_and_the_etag(guest: Client, stub: Any):
    user_id, _ = await register(guest, first_name="Ada", last_name="Lovelace")
    client, wanted = Client(stub, user(user_id)), users_pb2.User(user_id=user_id, first_name="Augusta", last_name="x", etag="1")

    after = (await client.UpdateUser(pb.UpdateUserRequest(user=wanted, update_mask=FieldMask(paths=["first_name"])))).user

    assert (after.first_name, after.last_name, after.etag) == ("Augusta", "Lovelace", "2")
    assert (await client.GetUser(pb.GetUserRequest(user_id=user_id))).user == after


@pytest.mark.parametrize(
    ("etag", "mask", "error"),
    [("9", [], ("ABORTED", "ETAG_MISMATCH", {"etag": "1"})), ("", ["password"], ("INVALID_ARGUMENT", "VALIDATION_FAILED", {}))],
)
async def test_a_refused_update_changes_nothing(guest: Client, stub: Any, etag: str, mask: list[str], error: Any):
    user_id, _ = await register(guest, first_name="Ada")
    client, wanted = Client(stub, user(user_id)), users_pb2.User(user_id=user_id, first_name="x", etag=etag)

    assert await refused(client.UpdateUser(pb.UpdateUserRequest(user=wanted, update_mask=FieldMask(paths=mask)))) == error
    assert (await client.GetUser(pb.GetUserRequest(user_id=user_id))).user.first_name == "Ada"


async def test_even_an_admin_cannot_rename_somebody(guest: Client, stub: Any):
    user_id, _ = await register(guest, first_name="Ada")
    wanted = users_pb2.User(user_id=user_id, first_name="x")

    assert (await refused(Client(stub, ADMIN).UpdateUser(pb.UpdateUserRequest(user=wanted))))[1] == "USER_NOT_FOUND"
    assert (await Client(stub, ADMIN).GetUser(pb.GetUserRequest(user_id=user_id))).user.first_name == "Ada"


# Many at once


def batch(*emails: str, **credential: str) -> pb.BatchCreateUsersRequest:
    new = pb.BatchCreateUsersRequest.NewUser
    return pb.BatchCreateUsersRequest(users=[new(email=email, **(credential or {"password_hash": HASH})) for email in emails])


async def test_imported_users_log_in_with_the_password_behind_their_hash(guest: Client, stub: Any):
    emails = [f"{uuid7()}@example.com" for _ in range(3)]

    users = (await Client(stub, ADMIN).BatchCreateUsers(batch(*emails))).users

    assert [imported.email for imported in users] == emails
    assert [(await log_in(guest, email)).user_id for email in emails] == [imported.user_id for imported in users]


async def test_a_batch_takes_plain_passwords_too(guest: Client, stub: Any):
    email = f"{uuid7()}@example.com"
    await Client(stub, ADMIN).BatchCreateUsers(batch(email, password=PASSWORD))

    assert (await log_in(guest, email)).access_token


async def test_a_repeated_batch_answers_the_same_users(stub: Any):
    keyed, request = Client(stub, ADMIN).having(("idempotency-key", uuid7())), batch(f"{uuid7()}@example.com")

    assert await keyed.BatchCreateUsers(request) == await keyed.BatchCreateUsers(request)


async def test_a_batch_that_names_an_email_twice_creates_nobody(guest: Client, stub: Any):
    email = f"{uuid7()}@example.com"

    error = await refused(Client(stub, ADMIN).BatchCreateUsers(batch(email, email.upper())))

    assert error == ("ALREADY_EXISTS", "EMAIL_TAKEN", {"index": "1"})
    assert (await refused(log_in(guest, email)))[1] == "CREDENTIALS_INVALID"


async def test_a_batch_with_a_weak_hash_creates_nobody(guest: Client, stub: Any):
    email, weak = f"{uuid7()}@example.com", HASH.replace("m=19456", "m=1024")
    request = batch(email)
    request.users.add(email=f"{uuid7()}@example.com", password_hash=weak)

    assert (await refused(Client(stub, ADMIN).BatchCreateUsers(request)))[:2] == ("INVALID_ARGUMENT", "PASSWORD_REFUSED")
    assert (await refused(log_in(guest, email)))[1] == "CREDENTIALS_INVALID"


async def test_a_customer_cannot_create_users_in_a_batch(stub: Any):
    error = await refused(Client(stub, user(uuid7())).BatchCreateUsers(batch(f"{uuid7()}@example.com")))

    assert error[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
