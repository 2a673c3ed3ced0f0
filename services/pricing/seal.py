"""What makes a quote hold: its seal, its holder and its time."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

from services.kit.errors import FailedPrecondition
from services.kit.secrets import Keyring

QUOTE_LIFETIME = timedelta(minutes=15)


class QuoteInvalid(FailedPrecondition):
    """The quote doesn't hold; `why` in the metadata is `forged`, `expired` or `user`."""

    reason = "QUOTE_INVALID"

    def __init__(self, why: str) -> None:
        super().__init__(f"the quote is {'made for another user' if why == 'user' else why}", why=why)


def sign(payload: bytes, keyring: Keyring) -> tuple[str, bytes]:
    """The key id and the HMAC-SHA256 of a quote's bytes."""
    return keyring.current_id, hmac.digest(keyring.current, payload, "sha256")


def check_signature(payload: bytes, key_id: str, mac: bytes, keyring: Keyring) -> None:
    """Checks a mac over exactly these bytes, with the key that it names, if that is still listed.

    Raises:
        QuoteInvalid: forged.
    """
    key = keyring.keys.get(key_id)
    if key is None or not hmac.compare_digest(mac, hmac.digest(key, payload, "sha256")):
        raise QuoteInvalid("forged")


def check_holder(user_id: str, expires_at: datetime, *, asked_by: str, now: datetime) -> None:
    """Checks that a quote was made for whoever brings it, and still holds.

    Args:
        user_id: whom it was made for; empty for a guest, as is `asked_by`.

    Raises:
        QuoteInvalid: user, expired.
    """
    if user_id != asked_by:
        raise QuoteInvalid("user")
    if now >= expires_at:
        raise QuoteInvalid("expired")
