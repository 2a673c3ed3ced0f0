"""Customers that the tools shop with, kept in the home so that they come back the next time."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from argon2 import PasswordHasher

from tools.home import Home, write_private
from tools.shop.account import Account
from tools.shop.client import Refused, Shop, patiently

AT_ONCE = 500
"""Customers created by one call."""
DOMAIN = "customers.bazaar.local"

_PLACES = (
    ("12 Elm Street", "Columbus", "OH", "43215"),
    ("401 Main Street", "Cincinnati", "OH", "45202"),
    ("77 Lakeview Drive", "Austin", "TX", "78701"),
    ("9 Harbor Road", "Seattle", "WA", "98101"),
    ("230 Maple Avenue", "Denver", "CO", "80202"),
)
_PLAIN = re.compile(r"[a-z0-9_-]{1,50}")


class Customer:
    """One customer with an address."""

    def __init__(self, shop: Shop, name: str, account: Account, known: dict[str, str]) -> None:
        self.account = account
        self._shop = shop
        self._name = name
        self._known = known

    @property
    def user_id(self) -> str:
        return self._known["user_id"]

    async def address_id(self) -> str:
        """The address that orders go to; made on first use."""
        if "address_id" not in self._known:
            line, city, state, pincode = _PLACES[_number(self._name) % len(_PLACES)]
            address = {"line1": line, "city": city, "state": state, "pincode": pincode, "country": "US", "type": "HOME"}
            token, path = await self.account.token(), f"/v1/users/{self.user_id}/addresses"
            answer = await patiently(lambda: self._shop.post(path, address, token=token, key="first-address"))
            self._known["address_id"] = answer["address"]["addressId"]
        return self._known["address_id"]


class Customers:
    """All customers that tools have made in a home. One password for all, of this home's own, and one Argon2id hash of it."""

    def __init__(self, shop: Shop, home: Home) -> None:
        self._shop = shop
        self._file = home.folder("secrets") / "customers.json"
        self._book = _read(self._file)
        self._customers: dict[str, Customer] = {}

    def __getitem__(self, name: str) -> Customer:
        """A customer who has been enrolled."""
        if name not in self._customers:
            account = Account(self._shop, email_of(name), self._book["password"])
            self._customers[name] = Customer(self._shop, name, account, self._book["customers"][name])
        return self._customers[name]

    async def enrol(self, names: Sequence[str], admin: Account, told: Callable[[int], None] | None = None) -> None:
        """Creates those who aren't there yet.

        Args:
            told: gets the number of those who are there so far.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._book["customers"]]
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            await self._create(some, admin)
            self.save()
            if told:
                told(len(names) - len(new) + start + len(some))

    def save(self) -> None:
        """Keeps what is known of them."""
        write_private(self._file, orjson.dumps(self._book).decode())

    async def _create(self, names: list[str], admin: Account) -> None:
        missing = list(names)
        while missing:
            users = [{"email": email_of(name), "passwordHash": self._book["hash"], "firstName": name[:100]} for name in missing]
            create = partial(self._shop.post, "/v1/users:batchCreate", {"users": users}, token=await admin.token(), key=uuid.uuid4().hex)
            try:
                answer = await patiently(create)
            except Refused as refused:
                if refused.reason != "EMAIL_TAKEN":
                    raise
                # Created by a run that died before it could note it.
                await self._find(missing.pop(int(refused.metadata["index"])))
                continue
            for name, user in zip(missing, answer["users"], strict=True):
                self._book["customers"][name] = {"user_id": user["userId"]}
            return

    async def _find(self, name: str) -> None:
        login = {"email": email_of(name), "password": self._book["password"]}
        answer = await patiently(lambda: self._shop.post("/v1/users/login", login))
        self._book["customers"][name] = {"user_id": answer["userId"]}


def email_of(name: str) -> str:
    """A customer's email; a name that can't be part of one is hashed."""
    local = name if _PLAIN.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{local}@{DOMAIN}"


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])


def _read(file: Path) -> dict[str, Any]:
    if file.exists():
        return orjson.loads(file.read_bytes())
    password = secrets.token_urlsafe(18)
    book = {"password": password, "hash": PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(password), "customers": {}}
    write_private(file, orjson.dumps(book).decode())
    return book
