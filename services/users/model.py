"""The rules of users: who may see whom, how strong a password's hash is, which address is the default. Logins have theirs in access.py."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.kit.values import value

MOST_ADDRESSES = 50
STAFF = frozenset({"support", "admin"})
WRITABLE = frozenset({"first_name", "last_name"})
READ_ONLY = frozenset({"user_id", "email", "roles", "create_time", "etag"})

_MEMORY_KIB = (19 * 1024, 256 * 1024)
_PASSES = (2, 10)
_LANES = (1, 16)
_BASE64 = r"[A-Za-z0-9+/]"
_ARGON2ID = re.compile(
    rf"\$argon2id\$v=19\$m=(\d{{1,9}}),t=(\d{{1,9}}),p=(\d{{1,9}})\$({_BASE64}{{11,86}})\$({_BASE64}{{22,86}})",
)


class UserNotFound(NotFound):
    """There is no such user, or it isn't the caller's to see."""

    reason = "USER_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__("There is no such user.", user_id=user_id)


class EmailTaken(AlreadyExists):
    """Somebody is registered with this email."""

    reason = "EMAIL_TAKEN"

    def __init__(self, **metadata: str) -> None:
        super().__init__("This email is registered.", retry_after=None, **metadata)


class AddressNotFound(NotFound):
    """The user has no such address, or isn't the caller's to see."""

    reason = "ADDRESS_NOT_FOUND"

    def __init__(self, address_id: str) -> None:
        super().__init__("There is no such address.", address_id=address_id)


class TooManyAddresses(FailedPrecondition):
    """The address book is full."""

    reason = "TOO_MANY_ADDRESSES"

    def __init__(self) -> None:
        super().__init__(f"A user keeps at most {MOST_ADDRESSES} addresses.", limit=str(MOST_ADDRESSES))


class PasswordRefused(InvalidArgument):
    """A hash that comes from another shop is too weak, too costly to check, or no Argon2id at all."""

    reason = "PASSWORD_REFUSED"

    def __init__(self, field: str) -> None:
        why = "must be Argon2id in its encoded form, with 19 to 256 MiB, 2 to 10 passes and 1 to 16 lanes"
        super().__init__(f"{field}: {why}", violations=[(field, why)])


class EtagMismatch(Aborted):
    """The resource changed after the caller had read it."""

    reason = "ETAG_MISMATCH"

    def __init__(self, etag: str) -> None:
        super().__init__("It was changed in between; read it again.", etag=etag)


class MaskInvalid(InvalidArgument):
    """The update mask names what no user has."""

    reason = "VALIDATION_FAILED"

    def __init__(self, path: str) -> None:
        super().__init__("update_mask: names an unknown field", violations=[("update_mask", f"{path[:100]} is no field of User")])


@value
class User:
    """Someone who shops or works here."""

    user_id: str
    email: str
    first_name: str
    last_name: str
    roles: frozenset[str]
    created_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        return str(self.version)


@value
class Address:
    """Where a user has things sent."""

    address_id: str
    line1: str
    line2: str
    city: str
    state: str
    pincode: str
    country: str
    type: str
    """HOME, WORK or OTHER."""
    is_default: bool


def normal_email(email: str) -> str:
    """The spelling under which an email is unique."""
    return email.lower()


def may_read(user_id: str, *, caller_id: str, roles: Collection[str]) -> bool:
    """Whether a caller may see a user's data: it is their own, or they are staff."""
    return user_id == caller_id or not STAFF.isdisjoint(roles)


def check_imported_hash(encoded: str, field: str) -> None:
    """Lets a hash from another shop pass if it is Argon2id, at least as strong as our own, and not so costly that a login hurts.

    Raises:
        PasswordRefused: it isn't.
    """
    matched = _ARGON2ID.fullmatch(encoded)
    if not matched:
        raise PasswordRefused(field)
    costs = [int(matched[group]) for group in (1, 2, 3)]
    in_bounds = all(least <= cost <= most for cost, (least, most) in zip(costs, (_MEMORY_KIB, _PASSES, _LANES), strict=True))
    # One character left over after whole groups of four is no base64.
    if not in_bounds or any(len(matched[group]) % 4 == 1 for group in (4, 5)):
        raise PasswordRefused(field)


def first_repeated(emails: Sequence[str]) -> int | None:
    """The place of the first email that came before in the list; None when each comes once."""
    seen = set[str]()
    for index, email in enumerate(emails):
        if email in seen:
            return index
        seen.add(email)
    return None


def updated(user: User, values: Mapping[str, str], mask: Collection[str], etag: str) -> User:
    """The user with new values, one version on; the same user when the mask names nothing that can be written.

    Args:
        values: by field name, for every writable field.
        mask: fields to take; empty or "*" means all that can be written. Fields that only we write are ignored (AIP-203).
        etag: of the version the caller has read; empty: whichever.

    Raises:
        MaskInvalid: the mask names an unknown field.
        EtagMismatch: the user changed in between.
    """
    for path in mask:
        if path not in WRITABLE | READ_ONLY | {"*"}:
            raise MaskInvalid(path)
    if etag and etag != user.etag:
        raise EtagMismatch(user.etag)
    taken = WRITABLE if not mask or "*" in mask else WRITABLE & set(mask)
    if not taken:
        return user
    return replace(user, version=user.version + 1, **{name: values[name] for name in taken})


def default_of_new(count: int, *, wanted: bool) -> bool:
    """Whether a new address is the default one: when it is asked for, and always for the first.

    Args:
        count: addresses the user has already.

    Raises:
        TooManyAddresses: there are 50.
    """
    if count >= MOST_ADDRESSES:
        raise TooManyAddresses
    return wanted or count == 0


def default_of_changed(*, was_default: bool, wanted: bool) -> bool:
    """Whether a changed address is the default one. The default can't be given up, only passed on by making another one the default."""
    return was_default or wanted
