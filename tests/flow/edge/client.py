"""The shop as an app sees it, and what an app may find there."""

from __future__ import annotations

import http.client
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tests.flow.edge.contract import faults
from tests.running import RunningBazaar
from tools.shop.account import ADMIN

T = TypeVar("T")
PASSWORD = "correct horse battery"
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/(?:tmp|root|home|work)/|psycopg|pymongo|grpc\.aio"
    r"|SELECT \w|INSERT INTO|UPDATE \w+ SET|DELETE FROM"
)
"""What no answer may hold: a traceback, SQL, a path of this machine."""


@dataclass
class Customer:
    """Somebody with a password."""

    edge: Edge
    email: str
    password: str = PASSWORD
    user_id: str = ""
    address_id: str = ""
    _token: str = ""
    _until: float = field(default=0.0, repr=False)

    @property
    def token(self) -> str:
        """An access token; the same for as long as it is good."""
        if time.monotonic() > self._until:
            self._token, self._until = self.log_in()["accessToken"], time.monotonic() + 400
        return self._token

    def log_in(self) -> dict[str, Any]:
        """Opens another session."""
        return self.edge.call("POST", "/v1/users/login", {"email": self.email, "password": self.password}).json()


class Edge:
    """REST calls, each looked through for what must not leave the house, and held against the OpenAPI document."""

    def __init__(self, running: RunningBazaar) -> None:
        self.running = running
        self.http = httpx.Client(base_url=running.url, trust_env=False, timeout=30)
        self.admin = Customer(self, ADMIN, running.secret("admin_password"))

    def call(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        user: Customer | None = None,
        key: str = "",
        headers: dict[str, str] | None = None,
        **how: Any,
    ) -> httpx.Response:
        """Makes a call with a JSON body, or what else `how` says to httpx."""
        sent = {"authorization": f"Bearer {user.token}"} if user else {}
        if key:
            sent["idempotency-key"] = key
        if body is not None:
            how["json"] = body
        answer = self.http.request(verb, path, headers={**sent, **(headers or {})}, **how)
        check(answer.text, dict(answer.headers))
        assert faults(verb, path, answer) == []
        return answer

    def ok(self, verb: str, path: str, body: Any = None, **how: Any) -> Any:
        """The same for a call that is answered."""
        answer = self.call(verb, path, body, **how)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def raw(self, verb: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
        """Sends exactly this request target, which httpx would tidy up first; gives the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=30)
        try:
            connection.request(verb, target, body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            check(text, dict(answer.getheaders()))
            return answer.status, text
        finally:
            connection.close()

    def customer(self) -> Customer:
        """Somebody new, with an address in Bengaluru."""
        new = Customer(self, f"{uuid.uuid4().hex}@example.org")
        new.user_id = self.ok("POST", "/v1/users/register", {"email": new.email, "password": PASSWORD, "firstName": "Asha"})["userId"]
        new.address_id = self.ok("POST", f"/v1/users/{new.user_id}/addresses", ADDRESS, user=new)["address"]["addressId"]
        return new

    def stock(self, *products: dict[str, Any], units: int = 10_000, price: int = 1999) -> None:
        """Puts products on sale, each SKU priced in USD, with so many units."""
        self.ok("POST", "/v1/products:import", {"products": list(products)}, user=self.admin)
        skus = [variant["sku"] for product in products for variant in product.get("variants", [{"sku": product["productId"]}])]
        prices = [{"sku": sku, "amount": usd(price)} for sku in skus]
        self.ok("POST", "/v1/prices:batchSet", {"prices": prices}, user=self.admin)
        receipts = [{"sku": sku, "quantity": units} for sku in skus]
        self.ok("POST", "/v1/inventory/receive:batch", {"receipts": receipts}, user=self.admin)

    def cart(self, customer: Customer, *skus: str) -> str:
        """A new cart with one unit of each; its id."""
        cart_id = self.ok("POST", "/v1/carts", {}, user=customer)["cart"]["cartId"]
        for sku in skus:
            self.ok("POST", f"/v1/carts/{cart_id}/items", {"sku": sku, "quantity": 1}, user=customer)
        return cart_id

    def order(self, customer: Customer, *skus: str, key: str = "") -> dict[str, Any]:
        """An order of one unit of each, paid on delivery."""
        return self.ok("POST", "/v1/orders", order_of(customer, *skus), user=customer, key=key)["order"]

    def top(self, path: str) -> dict[str, Any]:
        """A top list, once somebody's order is in it."""
        return self.eventually(lambda: self.ok("GET", path), lambda answer: bool(answer["products"]))

    def eventually(self, read: Callable[[], T], is_good: Callable[[T], bool], seconds: float = 10) -> T:
        """Reads until it is good; fails with what came last."""
        deadline = time.monotonic() + seconds
        while not is_good(found := read()):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


ADDRESS = {"line1": "1 MG Road", "city": "Bengaluru", "state": "KA", "pincode": "560001", "country": "IN"}


def usd(minor_units: int | str) -> dict[str, Any]:
    return {"currencyCode": "USD", "minorUnits": str(minor_units)}


def order_of(customer: Customer, *skus: str, **fields: Any) -> dict[str, Any]:
    """The body of an order."""
    lines = {"lines": [{"sku": sku, "quantity": 1} for sku in skus]} if skus else {}
    return {**lines, "addressId": customer.address_id, "paymentMethod": "COD", **fields}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the reason of an error, whose shape must be the one that all errors have."""
    error = answer.json()
    assert sorted(error) == ["code", "details", "message"]
    assert isinstance(error["code"], int)
    assert error["message"]
    assert answer.headers["content-type"] == "application/json"
    [info] = [detail for detail in error["details"] if detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"]
    assert info["domain"] == "bazaar.dev"
    return answer.status_code, info["reason"]


def check(text: str, headers: dict[str, str]) -> None:
    """Fails when an answer gives away what is none of a client's business."""
    assert not LEAKS.search(text), text
    assert [name for name in headers if name.lower().startswith(("grpc-", "x-envoy-"))] == []
