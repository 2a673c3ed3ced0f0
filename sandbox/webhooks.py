"""Sends webhooks to the shop until it confirms them, each signed anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.books import Books, Webhook

TIMEOUT_SECONDS = 10.0
SENDERS = 8
"""Webhooks under way at once, each of another payment: a shop that takes its time with one gets the others all the same."""


class Sender(threading.Thread):
    """Sends what is due, one after the other, over a connection of its own.

    Args:
        url: where the shop takes them.
        keyring: file of the keys, `{"current": id, "keys": {id: base64}}`; read for each, so that a rotation needs no restart.
    """

    def __init__(self, books: Books, url: str, keyring: Path) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._books = books
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._keyring = keyring

    def run(self) -> None:
        while True:
            webhook = self._books.next_webhook()
            if self._is_confirmed(webhook):
                self._books.delivered(webhook)
            else:
                self._books.put_off(webhook)

    def _is_confirmed(self, webhook: Webhook) -> bool:
        headers = {"content-type": "application/json", "sandbox-signature": sign(webhook.body, self._keyring, int(time.time()))}
        try:
            try:
                status = self._post(webhook.body, headers)
            except (BrokenPipeError, ConnectionResetError):
                # The shop has closed a connection that was idle; it takes a webhook twice without harm.
                self._connection.close()
                status = self._post(webhook.body, headers)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return 200 <= status < 300

    def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        self._connection.request("POST", self._path, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def sign(body: bytes, keyring: Path, timestamp: int) -> str:
    """The header that vouches for these bytes at this time (seconds since 1970): HMAC-SHA256 over `timestamp.body`."""
    document = json.loads(keyring.read_text())
    key_id = document["current"]
    key = base64.b64decode(document["keys"][key_id])
    return f"t={timestamp},k={key_id},v1={hmac.new(key, b'%d.' % timestamp + body, hashlib.sha256).hexdigest()}"
