"""Logins, sessions and keys over a real socket."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from bazaar.users.v1 import users_service_pb2 as pb
from services.kit.auth import ANONYMOUS
from services.kit.ids import uuid7
from tests.serving import Client, refused, user
from tests.unit.users.accounts import ADMIN, claims_in, count, log_in, principal_of, register


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


async def test_only_the_process_itself_lists_revocations(stub: Any):
    assert (await refused(Client(stub, ADMIN).ListRevocations(pb.ListRevocationsRequest())))[1] == "METHOD_NOT_GRANTED"
    assert (await refused(Client(stub, ANONYMOUS, "cart").ListRevocations(pb.ListRevocationsRequest())))[1] == "METHOD_NOT_GRANTED"


async def test_the_secret_keys_are_what_signs(guest: Client, secrets_directory: Path):
    kids = [key["kid"] for key in orjson.loads((secrets_directory / "jwt.json").read_bytes())["keys"]]

    assert [key.kid for key in (await guest.GetKeys(pb.GetKeysRequest())).keys] == kids
