"""Sends webhooks to the shop until it confirms them, each signed anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.books import Books, Webhook

TIMEOUT_SECONDS = 10.0


class Sender(threading.Thread):
    """One thread that sends what is due, one after the other.

    Args:
        url: where the shop takes them.
        keyring: file of the keys, `{"current": id, "keys": {id: base64}}`; read for each, so that a rotation needs no restart.
    """

    def __init__(self, books: Books, url: str, keyring: Path) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._books = books
        self._url = urlsplit(url)
        self._keyring = keyring

    def run(self) -> None:
        while True:
            self._books.has_webhooks.clear()
            webhook, wait = self._books.next_webhook()
            if webhook is None:
                self._books.has_webhooks.wait(wait)
            elif self._is_confirmed(webhook):
                self._books.delivered(webhook)
            else:
                self._books.put_off(webhook)

    def _is_confirmed(self, webhook: Webhook) -> bool:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"content-type": "application/json", "sandbox-signature": sign(webhook.body, self._keyring, int(time.time()))}
            connection.request("POST", self._url.path, webhook.body, headers)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def sign(body: bytes, keyring: Path, timestamp: int) -> str:
    """The header that vouches for these bytes at this time (seconds since 1970): HMAC-SHA256 over `timestamp.body`."""
    document = json.loads(keyring.read_text())
    key_id = document["current"]
    key = base64.b64decode(document["keys"][key_id])
    return f"t={timestamp},k={key_id},v1={hmac.new(key, b'%d.' % timestamp + body, hashlib.sha256).hexdigest()}"
