import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from argon2 import PasswordHasher
from google.protobuf.field_mask_pb2 import FieldMask
from grpc.aio import AioRpcError
from joserfc import jwt
from joserfc.jwk import KeySet

from bazaar.users.v1 import users_pb2
from bazaar.users.v1 import users_service_pb2 as pb
from services.kit.auth import ANONYMOUS, Principal
from services.kit.ids import uuid7
from tests.unit.serving import Client, details_of, user

PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
ADDRESS = {"line1": "1 Main St", "city": "Bengaluru", "state": "KA", "pincode": "560001", "country": "IN"}
ADMIN = user(uuid7(), "admin")


@pytest.fixture
def guest(stub: Any) -> Client:
    return Client(stub)


async def register(guest: Client, email: str = "", **fields: str) -> tuple[str, str]:
    """A new user's id and email."""
    email = email or f"{uuid7()}@example.com"
    return (await guest.Register(pb.RegisterRequest(email=email, password=PASSWORD, **fields))).user_id, email


async def refused(call) -> tuple[str, str, dict[str, str]]:
    with pytest.raises(AioRpcError) as caught:
        await call
    return details_of(caught.value)


async def log_in(guest: Client, email: str, password: str = PASSWORD) -> Any:
    return await guest.Login(pb.LoginRequest(email=email, password=password))


def claims_in(access_token: str, directory: Path) -> dict[str, Any]:
    keys = KeySet.import_key_set(json.loads((directory / "jwks.json").read_text()))
    return jwt.decode(access_token, keys, algorithms=["ES256"]).claims


def principal_of(tokens: Any, directory: Path) -> Principal:
    """What the edge makes of an access token."""
    claims = claims_in(tokens.access_token, directory)
    return Principal("user", claims["sub"], frozenset(claims["roles"]), claims["sid"])


def count(url: str, query: str, *values: Any) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query, values).fetchone()  # type: ignore[arg-type]
    assert row
    return row[0]


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


# Logins


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_wrong_password_and_an_unknown_email_are_refused_alike(guest: Client, is_known: bool):
    email = (await register(guest))[1] if is_known else "nobody@example.com"

    assert await refused(log_in(guest, email, "wrong")) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID", {})


async def test_an_access_token_says_who_in_which_session_for_ten_minutes(guest: Client, secrets_directory: Path):
    user_id, email = await register(guest)
    tokens = await log_in(guest, email)

    claims = claims_in(tokens.access_token, secrets_directory)

    assert {name: claims[name] for name in ("iss", "aud", "sub", "roles")} == {
        "iss": "https://bazaar.dev",
        "aud": "bazaar",
        "sub": user_id,
        "roles": ["customer"],
    }
    assert claims["exp"] - claims["iat"] == tokens.expires_in_seconds == 600
    assert claims["sid"]


async def test_the_published_keys_verify_a_token_and_hold_no_private_part(guest: Client):
    _, email = await register(guest)
    access_token = (await log_in(guest, email)).access_token

    keys = [
        {field.name: getattr(key, field.name) for field in key.DESCRIPTOR.fields} for key in (await guest.GetKeys(pb.GetKeysRequest())).keys
    ]

    assert jwt.decode(access_token, KeySet.import_key_set({"keys": keys}), algorithms=["ES256"]).claims["aud"] == "bazaar"
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]


async def test_a_refresh_gives_tokens_of_the_same_session(guest: Client, secrets_directory: Path):
    _, email = await register(guest)
    before = await log_in(guest, email)

    after = await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=before.refresh_token))

    assert principal_of(after, secrets_directory) == principal_of(before, secrets_directory)
    assert after.refresh_token != before.refresh_token


async def test_two_tabs_that_refresh_at_once_get_the_same_token_and_stay_logged_in(guest: Client):
    _, email = await register(guest)
    request = pb.RefreshSessionRequest(refresh_token=(await log_in(guest, email)).refresh_token)

    answers = await asyncio.gather(guest.RefreshSession(request), guest.RefreshSession(request))

    assert answers[0].refresh_token == answers[1].refresh_token
    assert (await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=answers[0].refresh_token))).user_id


async def test_a_token_used_two_refreshes_ago_ends_the_session(guest: Client, secrets_directory: Path, stub: Any):
    _, email = await register(guest)
    tokens = [await log_in(guest, email)]
    for _ in range(2):
        tokens.append(await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=tokens[-1].refresh_token)))

    for token in (tokens[0], tokens[2]):
        error = await refused(guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=token.refresh_token)))
        assert error == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID", {})

    revocations = (await Client(stub, caller="process").ListRevocations(pb.ListRevocationsRequest())).revocations
    assert principal_of(tokens[0], secrets_directory).session_id in {revocation.session_id for revocation in revocations}


async def test_a_made_up_token_is_refused_and_ends_no_session(guest: Client):
    _, email = await register(guest)
    good = (await log_in(guest, email)).refresh_token
    forged = good[:30] + ("A" if good[30] != "A" else "B") + good[31:]

    refusals = [
        await refused(guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=token))) for token in (forged, "x", "é", "A" * 86)
    ]

    assert refusals == [("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID", {})] * 4
    assert (await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=good))).access_token


async def test_no_refresh_token_is_in_the_database(guest: Client, users_url: str):
    _, email = await register(guest)
    first = (await log_in(guest, email)).refresh_token
    second = (await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=first))).refresh_token

    query = "SELECT count(*) FROM sessions WHERE strpos(sessions::text, encode(substr(%s::bytea, 17, 32), 'hex')) > 0"
    assert [count(users_url, query, base64.urlsafe_b64decode(token + "==")) for token in (first, second)] == [0, 0]


async def test_a_logout_is_listed_for_every_process_and_ends_the_refresh_token(guest: Client, stub: Any, secrets_directory: Path):
    _, email = await register(guest)
    tokens = await log_in(guest, email)
    principal = principal_of(tokens, secrets_directory)

    for _ in range(2):
        await Client(stub, principal).Logout(pb.LogoutRequest())

    revocations = (await Client(stub, caller="process").ListRevocations(pb.ListRevocationsRequest())).revocations
    assert [revocation.session_id for revocation in revocations].count(principal.session_id) == 1
    assert (await refused(guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=tokens.refresh_token))))[1] == "REFRESH_TOKEN_INVALID"


async def test_sessions_show_the_device_and_which_one_is_asking(guest: Client, stub: Any, secrets_directory: Path):
    _, email = await register(guest)
    first, second = [principal_of(await log_in(guest, email), secrets_directory) for _ in range(2)]

    sessions = (await Client(stub, first).ListSessions(pb.ListSessionsRequest(user_id=first.id))).sessions

    assert [(session.session_id, session.is_current) for session in sessions] == [(second.session_id, False), (first.session_id, True)]
    assert all(session.user_agent.startswith("grpc-python") for session in sessions)


async def test_one_device_can_log_another_out(guest: Client, stub: Any, secrets_directory: Path):
    _, email = await register(guest)
    first, second = [principal_of(await log_in(guest, email), secrets_directory) for _ in range(2)]

    await Client(stub, first).RevokeSession(pb.RevokeSessionRequest(user_id=first.id, session_id=second.session_id))

    sessions = (await Client(stub, first).ListSessions(pb.ListSessionsRequest(user_id=first.id))).sessions
    assert [session.session_id for session in sessions] == [first.session_id]


async def test_a_session_of_somebody_else_is_as_absent_as_one_that_never_was(guest: Client, stub: Any, secrets_directory: Path):
    _, email = await register(guest)
    victim, stranger = principal_of(await log_in(guest, email), secrets_directory), Client(stub, user(uuid7()))

    for session_id in (victim.session_id, uuid7()):
        error = await refused(stranger.RevokeSession(pb.RevokeSessionRequest(user_id=victim.id, session_id=session_id)))
        assert error == ("NOT_FOUND", "SESSION_NOT_FOUND", {"session_id": session_id})
    assert len((await Client(stub, victim).ListSessions(pb.ListSessionsRequest(user_id=victim.id))).sessions) == 1


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


# Addresses


async def add_address(client: Client, user_id: str, **fields: Any) -> users_pb2.Address:
    address = users_pb2.Address(**{**ADDRESS, **fields})
    return (await client.CreateAddress(pb.CreateAddressRequest(user_id=user_id, address=address))).address


async def test_an_address_reads_back_with_its_id_and_defaults(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))

    created = await add_address(client, user_id)

    expected = users_pb2.Address(**ADDRESS, address_id=created.address_id, type=users_pb2.Address.HOME, is_default=True)
    assert created == expected
    assert (await client.GetAddress(pb.GetAddressRequest(user_id=user_id, address_id=created.address_id))).address == expected


async def test_checkout_reads_the_address_of_the_user_it_acts_for(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    created = await add_address(Client(stub, user(user_id)), user_id)
    checkout = Client(stub, user(user_id), caller="checkout")

    assert (await checkout.GetAddress(pb.GetAddressRequest(user_id=user_id, address_id=created.address_id))).address == created


async def test_an_address_is_added_once_however_often_it_is_sent(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id)).having(("idempotency-key", "a1"))

    ids = {(await add_address(client, user_id)).address_id for _ in range(2)}

    addresses = (await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses
    assert {address.address_id for address in addresses} == ids
    assert len(addresses) == 1


async def test_the_default_address_is_listed_first(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))
    first, second, third = [await add_address(client, user_id, is_default=number == 2) for number in range(3)]

    addresses = (await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses

    assert [address.address_id for address in addresses] == [third.address_id, first.address_id, second.address_id]


async def test_an_address_is_replaced_and_deleted(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))
    created = await add_address(client, user_id)
    moved = users_pb2.Address(**{**ADDRESS, "city": "Mysuru"}, address_id=created.address_id, type=users_pb2.Address.WORK)

    after = (await client.UpdateAddress(pb.UpdateAddressRequest(user_id=user_id, address=moved))).address
    await client.DeleteAddress(pb.DeleteAddressRequest(user_id=user_id, address_id=created.address_id))

    assert (after.city, after.type, after.is_default) == ("Mysuru", users_pb2.Address.WORK, True)
    assert list((await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses) == []


async def test_addresses_of_somebody_else_are_as_absent_as_ones_that_never_were(guest: Client, stub: Any):
    owner, _ = await register(guest)
    created = await add_address(Client(stub, user(owner)), owner)
    stranger = Client(stub, user(uuid7()))

    for address_id in (created.address_id, uuid7()):
        address = users_pb2.Address(**ADDRESS, address_id=address_id)
        for call in (
            stranger.GetAddress(pb.GetAddressRequest(user_id=owner, address_id=address_id)),
            stranger.UpdateAddress(pb.UpdateAddressRequest(user_id=owner, address=address)),
            stranger.DeleteAddress(pb.DeleteAddressRequest(user_id=owner, address_id=address_id)),
        ):
            assert await refused(call) == ("NOT_FOUND", "ADDRESS_NOT_FOUND", {"address_id": address_id})
    for call in (stranger.ListAddresses(pb.ListAddressesRequest(user_id=owner)), add_address(stranger, owner)):
        assert await refused(call) == ("NOT_FOUND", "USER_NOT_FOUND", {"user_id": owner})
    assert [len((await Client(stub, ADMIN).ListAddresses(pb.ListAddressesRequest(user_id=owner))).addresses)] == [1]


async def test_an_update_of_no_address_is_not_found(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    request = pb.UpdateAddressRequest(user_id=user_id, address=users_pb2.Address(**ADDRESS))

    assert (await refused(Client(stub, user(user_id)).UpdateAddress(request)))[1] == "ADDRESS_NOT_FOUND"


@pytest.mark.parametrize("fields", [{"line1": ""}, {"country": "India"}, {"type": 9}, {"address_id": "x"}])
async def test_an_address_that_breaks_a_rule_is_refused(stub: Any, fields: dict[str, Any]):
    user_id = uuid7()

    assert (await refused(add_address(Client(stub, user(user_id)), user_id, **fields)))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_only_the_process_itself_lists_revocations(stub: Any):
    assert (await refused(Client(stub, ADMIN).ListRevocations(pb.ListRevocationsRequest())))[1] == "METHOD_NOT_GRANTED"
    assert (await refused(Client(stub, ANONYMOUS, "cart").ListRevocations(pb.ListRevocationsRequest())))[1] == "METHOD_NOT_GRANTED"


async def test_the_secret_keys_are_what_signs(guest: Client, secrets_directory: Path):
    kids = [key["kid"] for key in orjson.loads((secrets_directory / "jwt.json").read_bytes())["keys"]]

    assert [key.kid for key in (await guest.GetKeys(pb.GetKeysRequest())).keys] == kids
