"""Users on the whole shop: what a login is good for, and until when."""

from __future__ import annotations

import pytest
from grpc.aio import AioRpcError
from joserfc import jwt
from joserfc.jwk import KeySet

from bazaar.cart.v1 import cart_service_pb2
from bazaar.users.v1 import users_service_pb2 as pb
from bazaar.users.v1.users_service_pb2_grpc import UsersServiceStub
from services.kit.auth import Principal
from services.kit.ids import uuid7
from tests.serving import Client, details_of
from tests.shop import Shop, eventually

PASSWORD = "correct horse battery"


async def logged_in(shop: Shop, email: str = "") -> tuple[Principal, pb.LoginResponse]:
    """A new user, as the edge sees them by their token, checked with the keys that are published."""
    guest, email = shop.stub(UsersServiceStub), email or f"{uuid7()}@example.com"
    await guest.Register(pb.RegisterRequest(email=email, password=PASSWORD))
    tokens = await guest.Login(pb.LoginRequest(email=email, password=PASSWORD))
    return principal_of(tokens.access_token, await guest.GetKeys(pb.GetKeysRequest())), tokens


def principal_of(access_token: str, published: pb.GetKeysResponse) -> Principal:
    keys = [{field.name: value for field, value in key.ListFields()} for key in published.keys]
    claims = jwt.decode(access_token, KeySet.import_key_set({"keys": keys}), algorithms=["ES256"]).claims
    return Principal("user", claims["sub"], frozenset(claims["roles"]), claims["sid"])


async def reason_of_refusal(client: Client) -> str:
    """Why a cart can't be read; empty when it can."""
    try:
        await client.GetCart(cart_service_pb2.GetCartRequest())
    except AioRpcError as error:
        return details_of(error)[1]
    return ""


async def test_a_registered_user_shops_with_the_token_of_their_login(shop: Shop):
    principal, _ = await logged_in(shop)

    assert await reason_of_refusal(shop.cart(principal)) == ""


async def test_a_logout_is_refused_by_other_services_within_a_second(shop: Shop):
    principal, _ = await logged_in(shop)

    await shop.stub(UsersServiceStub, principal).Logout(pb.LogoutRequest())

    await eventually(lambda: reason_of_refusal(shop.cart(principal)), "UNAUTHENTICATED", seconds=1)


async def test_a_stolen_refresh_token_ends_the_session_in_other_services_too(shop: Shop):
    principal, tokens = await logged_in(shop)
    guest, token = shop.stub(UsersServiceStub), tokens.refresh_token
    for _ in range(2):
        token = (await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=token))).refresh_token

    with pytest.raises(AioRpcError) as caught:
        await guest.RefreshSession(pb.RefreshSessionRequest(refresh_token=tokens.refresh_token))

    assert details_of(caught.value)[1] == "REFRESH_TOKEN_INVALID"
    await eventually(lambda: reason_of_refusal(shop.cart(principal)), "UNAUTHENTICATED", seconds=1)


async def test_the_other_session_goes_on_when_one_is_revoked(shop: Shop):
    email = f"{uuid7()}@example.com"
    phone, _ = await logged_in(shop, email)
    guest = shop.stub(UsersServiceStub)
    tokens = await guest.Login(pb.LoginRequest(email=email, password=PASSWORD))
    laptop = principal_of(tokens.access_token, await guest.GetKeys(pb.GetKeysRequest()))

    await shop.stub(UsersServiceStub, laptop).RevokeSession(pb.RevokeSessionRequest(user_id=phone.id, session_id=phone.session_id))

    await eventually(lambda: reason_of_refusal(shop.cart(phone)), "UNAUTHENTICATED", seconds=1)
    assert await reason_of_refusal(shop.cart(laptop)) == ""
