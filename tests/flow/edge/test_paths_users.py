"""The paths of users and their addresses: one test each."""

from __future__ import annotations

import uuid

import pytest

from tests.flow.edge.client import ADDRESS, PASSWORD, Customer, Edge, refusal
from tests.flow.edge.paths import path

pytestmark = pytest.mark.edge


def email() -> str:
    return f"{uuid.uuid4().hex}@example.org"


@path("POST", "/users/register")
def test_register(edge: Edge, at: str):
    answer = edge.ok("POST", f"{at}/users/register", {"email": email(), "password": PASSWORD, "firstName": "Asha", "lastName": "Rao"})

    assert uuid.UUID(answer["userId"]).version == 7


@path("POST", "/users/login")
def test_log_in(edge: Edge, shopper: Customer, at: str):
    answer = edge.ok("POST", f"{at}/users/login", {"email": shopper.email, "password": PASSWORD})

    assert sorted(answer) == ["accessToken", "expiresInSeconds", "refreshToken", "userId"]
    assert (answer["userId"], answer["expiresInSeconds"]) == (shopper.user_id, 600)


@path("POST", "/users/refresh")
def test_refresh(edge: Edge, shopper: Customer, at: str):
    answer = edge.ok("POST", f"{at}/users/refresh", {"refreshToken": shopper.log_in()["refreshToken"]})

    assert answer["userId"] == shopper.user_id


@path("POST", "/users/logout")
def test_log_out(edge: Edge, shopper: Customer, at: str):
    token = shopper.log_in()["accessToken"]

    assert edge.ok("POST", f"{at}/users/logout", {}, headers={"authorization": f"Bearer {token}"}) == {}


@path("GET", "/users/{user_id}/sessions")
def test_list_sessions(edge: Edge, shopper: Customer, at: str):
    sessions = edge.ok("GET", f"{at}/users/{shopper.user_id}/sessions", user=shopper)["sessions"]

    assert [session["isCurrent"] for session in sessions].count(True) == 1


@path("DELETE", "/users/{user_id}/sessions/{session_id}")
def test_revoke_a_session(edge: Edge, shopper: Customer, at: str):
    sessions = f"{at}/users/{shopper.user_id}/sessions"
    shopper.log_in()
    latest = edge.ok("GET", sessions, user=shopper)["sessions"][0]["sessionId"]
    edge.ok("DELETE", f"{sessions}/{latest}", user=shopper)

    assert latest not in [session["sessionId"] for session in edge.ok("GET", sessions, user=shopper)["sessions"]]


@path("GET", "/users/{user_id}")
def test_get_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("GET", f"{at}/users/{shopper.user_id}", user=shopper)["user"]

    assert (user["userId"], user["email"], user["roles"]) == (shopper.user_id, shopper.email, ["customer"])


@path("PUT", "/users/{user.user_id}")
def test_put_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("PUT", f"{at}/users/{shopper.user_id}", {"firstName": "Asha", "lastName": f"Put {at}"}, user=shopper)["user"]

    assert (user["firstName"], user["lastName"]) == ("Asha", f"Put {at}")


@path("PATCH", "/users/{user.user_id}")
def test_patch_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("PATCH", f"{at}/users/{shopper.user_id}?updateMask=lastName", {"lastName": f"Patched {at}"}, user=shopper)["user"]

    assert (user["firstName"], user["lastName"]) == ("Asha", f"Patched {at}")


@path("POST", "/users:batchCreate")
def test_create_many_users(edge: Edge, at: str):
    emails = [email(), email()]
    users = [{"email": each, "password": PASSWORD} for each in emails]

    created = edge.ok("POST", f"{at}/users:batchCreate", {"users": users}, user=edge.admin)["users"]
    assert [user["email"] for user in created] == emails


@path("POST", "/users/{user_id}/addresses")
def test_add_an_address(edge: Edge, shopper: Customer, at: str):
    address = edge.ok("POST", f"{at}/users/{shopper.user_id}/addresses", {**ADDRESS, "type": "WORK"}, user=shopper)["address"]

    assert uuid.UUID(address["addressId"])
    assert (address["line1"], address["type"], address["isDefault"]) == ("1 MG Road", "WORK", False)


@path("GET", "/users/{user_id}/addresses")
def test_list_addresses(edge: Edge, shopper: Customer, at: str):
    addresses = edge.ok("GET", f"{at}/users/{shopper.user_id}/addresses", user=shopper)["addresses"]

    assert (addresses[0]["addressId"], addresses[0]["isDefault"]) == (shopper.address_id, True)


@path("GET", "/users/{user_id}/addresses/{address_id}")
def test_get_an_address(edge: Edge, shopper: Customer, at: str):
    address = edge.ok("GET", f"{at}/users/{shopper.user_id}/addresses/{shopper.address_id}", user=shopper)["address"]

    assert (address["pincode"], address["country"]) == ("560001", "IN")


@path("PUT", "/users/{user_id}/addresses/{address.address_id}")
def test_put_an_address(edge: Edge, shopper: Customer, at: str):
    url = f"{at}/users/{shopper.user_id}/addresses/{shopper.address_id}"
    address = edge.ok("PUT", url, {**ADDRESS, "line2": f"Put {at}"}, user=shopper)["address"]

    assert (address["addressId"], address["line2"]) == (shopper.address_id, f"Put {at}")


@path("DELETE", "/users/{user_id}/addresses/{address_id}")
def test_delete_an_address(edge: Edge, shopper: Customer, at: str):
    addresses = f"{at}/users/{shopper.user_id}/addresses"
    added = edge.ok("POST", addresses, ADDRESS, user=shopper)["address"]["addressId"]
    edge.ok("DELETE", f"{addresses}/{added}", user=shopper)

    assert refusal(edge.call("GET", f"{addresses}/{added}", user=shopper)) == (404, "ADDRESS_NOT_FOUND")
