"""Accounts as their owners make and use them over the wire, and what a token says of its holder."""

import json
from pathlib import Path
from typing import Any

import psycopg
from joserfc import jwt
from joserfc.jwk import KeySet

from bazaar.users.v1 import users_service_pb2 as pb
from services.kit.auth import Principal
from services.kit.ids import uuid7
from tests.serving import Client, user

PASSWORD = "correct horse battery"
ADMIN = user(uuid7(), "admin")


async def register(guest: Client, email: str = "", **fields: str) -> tuple[str, str]:
    """A new user's id and email."""
    email = email or f"{uuid7()}@example.com"
    return (await guest.Register(pb.RegisterRequest(email=email, password=PASSWORD, **fields))).user_id, email


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
