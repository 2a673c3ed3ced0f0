from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.users.access import Refresh, forgettable_at, judged, opened, readable_user_agent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = replace(opened("s1", "u1", b"new", "Firefox", NOW), previous_hash=b"old", refreshed_at=NOW)


def test_a_user_agent_is_cut_to_200_characters():
    assert readable_user_agent("x" * 300) == "x" * 200


def test_a_user_agent_keeps_no_control_characters():
    assert readable_user_agent("Fire\x00fox\n1") == "Firefox1"


@pytest.mark.parametrize(
    ("token_hash", "is_ours", "after", "verdict"),
    [
        (b"new", True, timedelta(), Refresh.ROTATE),
        (b"new", False, timedelta(days=29), Refresh.ROTATE),  # made before the signing keys were replaced
        (b"new", True, timedelta(days=30), Refresh.REFUSE),
        (b"old", True, timedelta(seconds=10), Refresh.REPEAT),
        (b"old", True, timedelta(seconds=10, microseconds=1), Refresh.REVOKE),
        (b"older", True, timedelta(seconds=1), Refresh.REVOKE),
        (b"made up", False, timedelta(seconds=1), Refresh.REFUSE),
        (b"old", True, timedelta(days=30), Refresh.REFUSE),
    ],
)
def test_a_refresh_token_is_judged_by_its_place_and_age(token_hash: bytes, is_ours: bool, after: timedelta, verdict: Refresh):
    assert judged(SESSION, token_hash, is_ours=is_ours, now=NOW + after) is verdict


@pytest.mark.parametrize("token_hash", [b"new", b"old"])
def test_a_revoked_session_refuses_every_token(token_hash: bytes):
    assert judged(replace(SESSION, revoked_at=NOW), token_hash, is_ours=True, now=NOW) is Refresh.REFUSE


def test_a_session_begins_with_30_days():
    assert opened("s1", "u1", b"h", "Firefox", NOW).expires_at == NOW + timedelta(days=30)


def test_a_revocation_is_kept_until_the_last_access_token_has_expired_by_a_slow_clock():
    assert forgettable_at(NOW) == NOW + timedelta(minutes=11)
