"""Signatures over a time and a body, as most gateways sign their webhooks."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

from services.kit.secrets import Keyring
from services.payments.gateway import WebhookRefused

REPLAY_WINDOW = timedelta(minutes=5)
"""How far a signature's time may be from ours; older ones could be somebody's recording."""


def signed(key: bytes, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, in hex.

    Args:
        timestamp: seconds since 1970.
    """
    return hmac.new(key, b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def check(header: str, body: bytes, keys: Keyring, now: datetime) -> None:
    """Makes sure that a header `t=<seconds>,k=<key id>,v1=<hex>` signs exactly this body with one of our keys, just now.

    Raises:
        WebhookRefused: it doesn't; says why.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    parts = {name: value for name, _, value in pairs}
    timestamp, key = parts.get("t", ""), keys.keys.get(parts.get("k", ""))
    if not header:
        raise WebhookRefused("unsigned")
    if key is None:
        raise WebhookRefused("unknown key")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise WebhookRefused("no time")
    if not hmac.compare_digest(signed(key, int(timestamp), body).encode(), parts.get("v1", "").encode()):
        raise WebhookRefused("wrong signature")
    if abs(now.timestamp() - int(timestamp)) > REPLAY_WINDOW.total_seconds():
        raise WebhookRefused("stale")
