"""The rules of logins: how many may fail, how long a session lasts, when a refresh token is good."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from ipaddress import ip_address, ip_network

from services.kit.errors import NotFound, ResourceExhausted, Unauthenticated
from services.kit.values import value

ACCESS_TOKEN_LIFE = timedelta(minutes=10)
REFRESH_TOKEN_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=1)
"""How far the clock of whoever checks an access token may be behind ours."""
REPEAT_WITHIN = timedelta(seconds=10)
"""A refresh token that comes again so soon after its use is a lost answer or a second tab, not a thief."""
FAILURES_WITHIN = timedelta(minutes=1)
MOST_FAILURES, MOST_FAILURES_OF_ADDRESS = 20, 300
"""Failed logins within that time, for one email and from one address."""
LONGEST_USER_AGENT = 200


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


class SessionNotFound(NotFound):
    """The user has no such session, or isn't the caller's to see."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__("There is no such session.", session_id=session_id)


@value
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


def readable_user_agent(text: str) -> str:
    """What a client says it is, cut to 200 characters and without control characters."""
    return "".join(character for character in text[:LONGEST_USER_AGENT] if character.isprintable())


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
