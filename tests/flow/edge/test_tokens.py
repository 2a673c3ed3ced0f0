"""Who somebody is, and what it takes to pretend to be somebody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.flow.edge.client import Customer, Edge, refusal
from tests.flow.edge.conftest import Household

pytestmark = [pytest.mark.edge, pytest.mark.usefixtures("unchanged")]

UNAUTHENTICATED = (401, "UNAUTHENTICATED")
OPEN = "/v1/products?pageSize=1"
"""For anyone; who brings a token there must bring a good one."""


class Forger:
    """Makes tokens that the users service would not."""

    def __init__(self, edge: Edge, victim: Customer) -> None:
        self._key = KeySet.import_key_set(json.loads(edge.running.secret("jwt.json"))).keys[0]
        self.good = victim.token
        self.claims: dict[str, Any] = decoded(self.good.split(".")[1])

    def signed(self, *, by: ECKey | None = None, **claims: Any) -> str:
        """A token like the good one, but for these claims; None leaves one out."""
        key = by or self._key
        changed = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": key.kid}, changed, key)

    def unsigned(self) -> str:
        return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(self.claims)}."

    def confused(self) -> str:
        """Signed by HMAC with what everybody knows: the public key."""
        text = f"{encoded({'alg': 'HS256', 'kid': self._key.kid})}.{encoded(self.claims)}"
        public = json.dumps(self._key.as_dict(private=False)).encode()
        return f"{text}.{base64url(hmac.digest(public, text.encode(), hashlib.sha256))}"

    def tampered(self) -> str:
        header, _, signature = self.good.split(".")
        return f"{header}.{encoded({**self.claims, 'roles': ['admin']})}.{signature}"


def encoded(document: dict[str, Any]) -> str:
    return base64url(json.dumps(document).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.fixture
def forger(edge: Edge, stranger: Household) -> Forger:
    return Forger(edge, stranger.owner)


def bearing(edge: Edge, token: str, path: str = "/v1/orders") -> Any:
    return edge.call("GET", path, headers={"authorization": f"Bearer {token}"})


def test_a_token_signed_by_the_homes_own_key_is_good(edge: Edge, forger: Forger):
    assert bearing(edge, forger.signed()).status_code == 200


@pytest.mark.parametrize("path", ["/v1/orders", OPEN])
@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda forger: forger.signed(exp=int(time.time()) - 60), id="expired"),
        pytest.param(lambda forger: forger.signed(exp=None), id="without an end"),
        pytest.param(lambda forger: forger.signed(nbf=int(time.time()) + 600), id="not good yet"),
        pytest.param(lambda forger: forger.signed(iss="https://elsewhere.dev"), id="of another issuer"),
        pytest.param(lambda forger: forger.signed(by=ECKey.generate_key("P-256", {"kid": "mine"}, private=True)), id="of another key"),
        pytest.param(
            lambda forger: forger.signed(by=ECKey.generate_key("P-256", {"kid": forger._key.kid}, private=True)),
            id="of another key by its name",
        ),
        pytest.param(lambda forger: forger.unsigned(), id="unsigned"),
        pytest.param(lambda forger: forger.confused(), id="of another algorithm"),
        pytest.param(lambda forger: forger.tampered(), id="tampered with"),
        pytest.param(lambda forger: forger.good[:-3], id="cut short"),
        pytest.param(lambda _: "a.b.c", id="garbage"),
        pytest.param(lambda _: "é", id="not even ASCII"),
    ],
)
def test_no_token_that_is(edge: Edge, forger: Forger, path: str, forge: Any):
    token = forge(forger).encode()
    answer = edge.call("GET", path, headers={b"authorization": b"Bearer " + token})  # type: ignore[dict-item]

    assert refusal(answer) == UNAUTHENTICATED


def test_no_token_for_somebody_elses_ears(edge: Edge, forger: Forger):
    assert refusal(bearing(edge, forger.signed(aud="other"))) == (403, "METHOD_NOT_GRANTED")


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}], ids=str)
def test_no_call_of_a_users_without_a_token(edge: Edge, headers: dict[str, str]):
    assert refusal(edge.call("GET", "/v1/orders", headers=headers)) == UNAUTHENTICATED


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_a_token_in_the_query_is_none(edge: Edge, forger: Forger, name: str):
    assert refusal(edge.call("GET", f"/v1/orders?{name}={forger.good}")) == UNAUTHENTICATED


def test_a_token_in_a_cookie_is_none(edge: Edge, forger: Forger):
    assert refusal(edge.call("GET", "/v1/orders", headers={"cookie": f"access_token={forger.good}"})) == UNAUTHENTICATED


def test_a_second_token_does_not_replace_the_first(edge: Edge, buyer: Household, forger: Forger):
    headers = [("authorization", f"Bearer {buyer.owner.token}"), ("authorization", f"Bearer {forger.good}")]
    answer = edge.http.get(f"/v1/users/{forger.claims['sub']}", headers=headers)

    assert answer.status_code in (401, 404)


# Headers that only the edge may set


def claims(**fields: Any) -> str:
    return encoded({"sub": "", "roles": ["admin"], "sid": "s", **fields})


def test_a_named_user_is_nobody(edge: Edge, stranger: Household):
    headers = {"x-bazaar-user": claims(sub=stranger.owner.user_id)}

    assert refusal(edge.call("GET", "/v1/orders", headers=headers)) == UNAUTHENTICATED


@pytest.mark.parametrize("name", ["x-bazaar-user", "X-Bazaar-User", "x_bazaar_user"])
def test_a_named_user_does_not_replace_the_tokens(edge: Edge, buyer: Household, stranger: Household, name: str):
    headers = {name: claims(sub=stranger.owner.user_id)}

    assert edge.call("GET", f"/v1/orders/{stranger.order_id}", user=buyer.owner, headers=headers).status_code == 404


def test_a_named_role_is_not_had(edge: Edge, buyer: Household):
    headers = {"x-bazaar-user": claims(sub=buyer.owner.user_id)}

    assert refusal(edge.call("GET", "/v1/taxRates", user=buyer.owner, headers=headers)) == (403, "METHOD_NOT_GRANTED")


def test_a_named_user_at_an_open_path_is_nobody(edge: Edge, stranger: Household):
    body = {"lines": [{"sku": "edge-tv", "quantity": 1}], "country": "ZZ"}
    answer = edge.ok(
        "POST", "/v1/quotes", body, headers={"x-bazaar-user": claims(sub=stranger.owner.user_id), "x-bazaar-caller": "checkout"}
    )

    assert answer["quote"]["userId"] == ""


@pytest.mark.parametrize("name", ["x-envoy-original-path", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-forwarded-client-cert"])
def test_headers_of_envoys_own_do_nothing(edge: Edge, name: str):
    assert edge.call("GET", OPEN, headers={name: "1"}).status_code == 200


# Sessions that have ended


def refused_everywhere(edge: Edge, token: str) -> bool:
    """Whether every one of many calls at once is refused: both workers get some."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bearing(edge, token), range(16)))
    return {refusal(answer) if answer.status_code != 200 else (200, "") for answer in answers} == {UNAUTHENTICATED}


def test_a_log_out_holds_on_every_worker_within_a_second(edge: Edge):
    somebody = edge.customer()
    token = somebody.token
    assert bearing(edge, token).status_code == 200
    edge.ok("POST", "/v1/users/logout", {}, user=somebody)

    edge.eventually(lambda: refused_everywhere(edge, token), bool, seconds=1.5)


def test_a_revoked_session_ends_and_the_others_go_on(edge: Edge):
    somebody = edge.customer()
    lost = somebody.log_in()
    path = f"/v1/users/{somebody.user_id}/sessions/{decoded(lost['accessToken'].split('.')[1])['sid']}"
    edge.ok("DELETE", path, user=somebody)

    edge.eventually(lambda: refused_everywhere(edge, lost["accessToken"]), bool, seconds=1.5)
    assert refusal(edge.call("POST", "/v1/users/refresh", {"refreshToken": lost["refreshToken"]})) == (401, "REFRESH_TOKEN_INVALID")
    assert bearing(edge, somebody.token).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "x" * 501, "\u0000"])
def test_no_refresh_with(edge: Edge, token: str):
    assert edge.call("POST", "/v1/users/refresh", {"refreshToken": token}).status_code in (400, 401)


@pytest.mark.parametrize("password", ["wrong", "correct horse battery ", "\u0000"])
def test_no_log_in_with_another_password(edge: Edge, stranger: Household, password: str):
    answer = edge.call("POST", "/v1/users/login", {"email": stranger.owner.email, "password": password})

    assert refusal(answer)[0] in (400, 401)


def test_an_unknown_email_is_refused_like_a_wrong_password(edge: Edge, stranger: Household):
    unknown, wrong = (
        edge.call("POST", "/v1/users/login", {"email": email, "password": "wrong"})
        for email in ("nobody@example.org", stranger.owner.email)
    )

    assert (unknown.status_code, unknown.text) == (wrong.status_code, wrong.text)
