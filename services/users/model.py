"""The rules of users: who may see whom, how strong a password's hash is, when a refresh token is good, which address is the default."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import ip_address, ip_network

from services.kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated

ACCESS_TOKEN_LIFE = timedelta(minutes=10)
REFRESH_TOKEN_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=1)
"""How far the clock of whoever checks an access token may be behind ours."""
REPEAT_WITHIN = timedelta(seconds=10)
"""A refresh token that comes again so soon after its use is a lost answer or a second tab, not a thief."""
FAILURES_WITHIN = timedelta(minutes=1)
MOST_FAILURES, MOST_FAILURES_OF_ADDRESS = 20, 300
"""Failed logins within that time, for one email and from one address."""
MOST_ADDRESSES = 50
LONGEST_USER_AGENT = 200
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


class CredentialsInvalid(Unauthenticated):
    """Email or password is wrong; which of the two isn't said."""

    reason = "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__("Email or password is wrong.")


class TooManyAttempts(ResourceExhausted):
    """Too many failed logins; said before anything is looked up, so that it says nothing of the account."""

    reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("Too many failed logins; try again later.", retry_after=retry_after)


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, expired, used before or revoked; which of these isn't said."""

    reason = "REFRESH_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("The refresh token is not good; log in again.")


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


class SessionNotFound(NotFound):
    """The user has no such session, or isn't the caller's to see."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__("There is no such session.", session_id=session_id)


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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device."""

    session_id: str
    user_id: str
    token_hash: bytes
    """SHA-256 of the refresh token that is good now."""
    created_at: datetime
    refreshed_at: datetime
    """When that token was given out."""
    expires_at: datetime
    user_agent: str = ""
    previous_hash: bytes | None = None
    sealed_token: bytes | None = None
    """The present token, readable only with the one before it."""
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
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


def opened(session_id: str, user_id: str, token_hash: bytes, user_agent: str, now: datetime) -> Session:
    """A session as a login begins it."""
    expires_at = now + REFRESH_TOKEN_LIFE
    return Session(session_id, user_id, token_hash, created_at=now, refreshed_at=now, expires_at=expires_at, user_agent=user_agent)


def place_of(address: str) -> str:
    """What stands for an address when attempts are counted: whoever has one IPv6 address has a whole /64. Empty if it is none."""
    try:
        bits = 64 if ip_address(address).version == 6 else 32
    except ValueError:
        return ""
    return str(ip_network(f"{address}/{bits}", strict=False))


def normal_email(email: str) -> str:
    """The spelling under which an email is unique."""
    return email.lower()


def readable_user_agent(text: str) -> str:
    """What a client says it is, cut to 200 characters and without control characters."""
    return "".join(character for character in text[:LONGEST_USER_AGENT] if character.isprintable())


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


class Refresh(Enum):
    """What to do with a refresh token."""

    ROTATE = "rotate"
    """It is the present one: give a new one."""
    REPEAT = "repeat"
    """It was used a moment ago: give the same new one again."""
    REVOKE = "revoke"
    """It was used before that: somebody has a copy, so the session ends."""
    REFUSE = "refuse"


def judged(session: Session, token_hash: bytes, *, is_ours: bool, now: datetime) -> Refresh:
    """What to do when this token comes for this session.

    Two refreshes at once (two tabs, an answer lost on the way) both end with the same new token, so that a race logs nobody out; a copy
    that is used later than 10 seconds after the rightful use ends the session (RFC 9700, 4.14.2).

    Args:
        is_ours: whether the token was ever given out by us, whatever its age.
    """
    if session.revoked_at is not None or now >= session.expires_at:
        return Refresh.REFUSE
    if token_hash == session.token_hash:
        return Refresh.ROTATE
    if token_hash == session.previous_hash and now <= session.refreshed_at + REPEAT_WITHIN:
        return Refresh.REPEAT
    return Refresh.REVOKE if is_ours else Refresh.REFUSE


def forgettable_at(revoked_at: datetime) -> datetime:
    """When the last access token of a revoked session has expired, by any clock."""
    return revoked_at + ACCESS_TOKEN_LIFE + CLOCK_SKEW


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
