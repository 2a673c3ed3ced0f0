"""Who calls, and whether mesh/policy.yaml lets them.

Envoy and Istio enforce the same table in their profiles; this is the copy that holds in every profile.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import orjson
import yaml

from services.kit.errors import MethodNotGranted, Unauthenticated
from services.kit.values import value

EDGE = "edge"
"""The one identity that never acts in its own name: without a token its caller is anonymous."""

PROCESS = "process"
"""In a method's callers: any service, for what its process asks in nobody's name. The edge is none."""

ANYONE = "anyone"
"""In a method's roles: no token needed."""


@value
class Principal:
    """In whose name a call is made."""

    kind: Literal["user", "service", "anonymous"]
    id: str = ""
    """A user id or a service's name; empty for anonymous."""

    roles: frozenset[str] = frozenset()
    session_id: str = ""

    @property
    def key(self) -> str:
        """One string that tells principals apart: `user:<id>`, `service:<name>`, `anonymous:`."""
        return f"{self.kind}:{self.id}"


ANONYMOUS = Principal("anonymous")


@lru_cache(maxsize=8192)
def principal_from_claims(claims: str) -> Principal:
    """Reads verified claims (base64url JSON `{sub, roles, sid}`, as Envoy's jwt_authn forwards them); `{}` is anonymous.

    Raises:
        Unauthenticated: they cannot be read.
    """
    try:
        document = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if not document:
            return ANONYMOUS
        return Principal(
            "user",
            id=_text(document["sub"]),
            roles=frozenset(_text(role) for role in document.get("roles", ())),
            session_id=_text(document.get("sid", "")),
        )
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
        raise Unauthenticated("The user's claims cannot be read.") from None


@lru_cache(maxsize=8192)
def claims_of(principal: Principal) -> str:
    """The claims that make `principal_from_claims` return the user, or anonymous, again."""
    claims: dict[str, object] = {}
    if principal.kind == "user":
        claims = {"sub": principal.id, "roles": sorted(principal.roles), "sid": principal.session_id}
    return base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()


@lru_cache(maxsize=64)
def _service(name: str) -> Principal:
    return Principal("service", name)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


@value
class Grant:
    """What the policy says of one method."""

    method: str
    callers: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    """What a user needs one of; empty: the callers alone decide."""

    timeout: timedelta | None = None

    def check(self, caller: str, principal: Principal) -> None:
        """Lets a call pass, or not.

        Raises:
            MethodNotGranted: neither the calling service nor the user's roles have the method.
            Unauthenticated: it needs a user, and there is none.
        """
        if caller not in self.callers:
            raise MethodNotGranted(f"{caller or 'An unnamed caller'} may not call {self.method}.", method=self.method)
        if principal.kind == "service" or not self.roles or ANYONE in self.roles:
            return
        if principal.kind == "anonymous":
            raise Unauthenticated("This needs a user who is logged in.")
        if self.roles.isdisjoint(principal.roles):
            raise MethodNotGranted(f"The user's roles don't include {self.method}.", method=self.method)


class PolicyInvalid(Exception):
    """The policy file says something that cannot be meant; says where."""


class Policy:
    """The table of mesh/policy.yaml.

    Args:
        document: `identities` by name (`on_behalf_of_user`), `methods` by `package.Service/Method` (`callers`, `roles`, `timeout`).

    Raises:
        PolicyInvalid: a key, a caller or a timeout is not known, or a method of the edge names no roles.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        identities: dict[str, dict[str, Any] | None] = document.get("identities") or {}
        self._identities = frozenset(identities)
        self._speaks_for_users = frozenset(name for name, marks in identities.items() if (marks or {}).get("on_behalf_of_user"))
        entries: Mapping[str, Any] = document.get("methods") or {}
        self._grants = {f"/{name}": self._grant(name, entry or {}) for name, entry in entries.items()}

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Reads the table from a file.

        Raises:
            PolicyInvalid: the file is missing, or is not such a table.
        """
        try:
            document = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise PolicyInvalid(f"The policy {path} cannot be read: {error}.") from None
        if not isinstance(document, dict):
            raise PolicyInvalid(f"The policy {path} is not a table of identities and methods.")
        return cls(cast("dict[str, Any]", document))

    @property
    def grants(self) -> Iterable[Grant]:
        """What the table says, method by method."""
        return self._grants.values()

    def become(self, other: Policy) -> None:
        """Says from now on what the other one says."""
        self._identities, self._speaks_for_users, self._grants = other._identities, other._speaks_for_users, other._grants

    def grant(self, path: str) -> Grant:
        """What is granted for `/package.Service/Method`; nobody may call what the table doesn't name."""
        return self._grants.get(path) or Grant(path.removeprefix("/"))

    def speaks_for_users(self, caller: str) -> bool:
        """Whether the user that this service names is believed."""
        return caller in self._speaks_for_users

    def principal(self, caller: str, claims: str) -> Principal:
        """In whose name a service calls: the user it brings along if it may, otherwise itself.

        Raises:
            Unauthenticated: the claims cannot be read.
        """
        if claims and caller in self._speaks_for_users:
            return principal_from_claims(claims)
        if caller == EDGE:
            return ANONYMOUS
        return _service(caller)

    def _grant(self, name: str, entry: Mapping[str, Any]) -> Grant:
        if unknown := entry.keys() - {"callers", "roles", "timeout", "external", "rare"}:
            raise PolicyInvalid(f"The policy of {name} has an unknown key: {', '.join(sorted(unknown))}.")
        callers, roles = _names(name, "callers", entry), _names(name, "roles", entry)
        if unknown := callers - self._identities:
            raise PolicyInvalid(f"The policy of {name} names a caller that is no identity: {', '.join(sorted(unknown))}.")
        if EDGE in callers and not roles:
            raise PolicyInvalid(f"The policy of {name} opens it at the edge without saying which roles may call it.")
        return Grant(name, callers, roles, _duration(name, entry["timeout"]) if "timeout" in entry else None)


def _names(method: str, key: str, entry: Mapping[str, Any]) -> frozenset[str]:
    values: object = entry.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in cast("list[object]", values)):
        raise PolicyInvalid(f"The policy of {method} must give its {key} as a list of names.")
    return frozenset(cast("list[str]", values))


def _duration(method: str, text: object) -> timedelta:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", str(text))
    if not match:
        raise PolicyInvalid(f"The policy of {method} has a timeout that isn't like 500ms, 2s or 1m: {text}.")
    return float(match[1]) * {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1)}[match[2]]
