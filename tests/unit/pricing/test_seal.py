from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.secrets import Keyring
from services.pricing.seal import QUOTE_LIFETIME, QuoteInvalid, check_holder, check_signature, sign

NOW = datetime(2026, 5, 2, tzinfo=UTC)
OLD = Keyring("k1", {"k1": b"one"})
ROTATED = Keyring("k2", {"k1": b"one", "k2": b"two"})
RETIRED = Keyring("k2", {"k2": b"two"})


def is_good(payload: bytes, key_id: str, mac: bytes, keyring: Keyring) -> bool:
    try:
        check_signature(payload, key_id, mac, keyring)
    except QuoteInvalid:
        return False
    return True


def test_the_mac_is_hmac_sha256_of_exactly_the_payload() -> None:
    assert sign(b"quote", OLD) == ("k1", hmac.new(b"one", b"quote", hashlib.sha256).digest())


def test_a_signature_is_good_before_and_after_a_rotation_until_its_key_is_retired() -> None:
    key_id, mac = sign(b"quote", OLD)

    assert [is_good(b"quote", key_id, mac, keyring) for keyring in (OLD, ROTATED, RETIRED)] == [True, True, False]


def test_an_altered_payload_is_forged() -> None:
    key_id, mac = sign(b"quote", OLD)

    with pytest.raises(QuoteInvalid) as refused:
        check_signature(b"quotf", key_id, mac, OLD)

    assert (refused.value.reason, refused.value.metadata) == ("QUOTE_INVALID", {"why": "forged"})


@pytest.mark.parametrize("mac", [b"", b"\0" * 32, b"short"])
def test_another_mac_is_forged(mac: bytes) -> None:
    assert not is_good(b"quote", "k1", mac, OLD)


def test_a_mac_of_another_key_is_forged() -> None:
    _, mac = sign(b"quote", OLD)

    assert not is_good(b"quote", "k2", mac, ROTATED)


def test_a_quote_holds_for_15_minutes() -> None:
    expires_at = NOW + QUOTE_LIFETIME

    assert timedelta(minutes=15) == QUOTE_LIFETIME
    check_holder("u", expires_at, asked_by="u", now=expires_at - timedelta(microseconds=1))
    with pytest.raises(QuoteInvalid) as refused:
        check_holder("u", expires_at, asked_by="u", now=expires_at)

    assert refused.value.metadata == {"why": "expired"}


@pytest.mark.parametrize(("made_for", "asked_by"), [("u", "v"), ("u", ""), ("", "u")])
def test_a_quote_is_good_for_its_user_alone(made_for: str, asked_by: str) -> None:
    with pytest.raises(QuoteInvalid) as refused:
        check_holder(made_for, NOW + QUOTE_LIFETIME, asked_by=asked_by, now=NOW)

    assert refused.value.metadata == {"why": "user"}


def test_a_guests_quote_is_good_for_a_guest() -> None:
    check_holder("", NOW + QUOTE_LIFETIME, asked_by="", now=NOW)
