"""What the gateway keeps: payments, every movement, webhooks that are still to be sent, and the switches.

In SQLite, and on disk before anybody is answered, so that kill -9 loses nothing.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from sandbox.model import Payment, Refused, Switches, moved

DISORDER_SECONDS = 1.0
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 60.0
MOST_ATTEMPTS = 24 * 60

_TABLES = """
CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, method TEXT NOT NULL, currency TEXT NOT NULL, minor_units INTEGER NOT NULL,
    reference TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, changed_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS entries (
    entry_id INTEGER PRIMARY KEY, payment_id TEXT NOT NULL, state TEXT NOT NULL, currency TEXT NOT NULL, minor_units INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS webhooks (
    webhook_id INTEGER PRIMARY KEY, payment_id TEXT NOT NULL, body TEXT NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due_at);
CREATE INDEX IF NOT EXISTS entries_of ON entries (payment_id);
CREATE TABLE IF NOT EXISTS switches (one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message to the shop that it has not confirmed yet."""

    webhook_id: int
    payment_id: str
    body: bytes
    attempts: int


class Books:
    """One SQLite file, for the threads of one process."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._has_webhooks = threading.Condition(self._lock)
        """Notified when one may be due sooner than was known."""
        self._under_way: set[str] = set()
        """Payments that a webhook is being sent of."""
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_TABLES)

    def open(self, payment_id: str, method: str, currency: str, minor_units: int, reference: str) -> Payment:
        """A new payment; the one already made when it is a repeat.

        Raises:
            Refused: that one is about something else.
        """
        new = Payment(payment_id, secrets.token_urlsafe(24), method, currency, minor_units, reference, changed_at=time.time())
        with self._transaction() as tx:
            tx.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (payment_id) DO NOTHING", astuple(new))
            found = self._one("payment_id", payment_id)
        assert found is not None
        if (found.method, found.currency, found.minor_units) != (method, currency, minor_units):
            raise Refused("This payment was opened with another method or amount.")
        return found

    def find(self, payment_id: str) -> Payment | None:
        with self._lock:
            return self._one("payment_id", payment_id)

    def find_by_token(self, token: str) -> Payment | None:
        with self._lock:
            return self._one("token", token)

    def act(self, payment_id: str, action: str) -> Payment:
        """Carries an action out, with its entry and its webhook in the same transaction.

        Raises:
            KeyError: there is no such payment.
            Refused: its state doesn't lead there.
        """
        with self._transaction() as tx:
            before = self._one("payment_id", payment_id)
            if before is None:
                raise KeyError(payment_id)
            switches = self._switches()
            after = moved(before, action, at=time.time(), is_late=switches.late)
            if after is not before:
                change = (after.state, after.reason, after.changed_at, payment_id)
                tx.execute("UPDATE payments SET state = ?, reason = ?, changed_at = ? WHERE payment_id = ?", change)
                entry = (payment_id, after.state, after.currency, after.minor_units, after.changed_at)
                tx.execute("INSERT INTO entries (payment_id, state, currency, minor_units, at) VALUES (?, ?, ?, ?, ?)", entry)
                self._tell(tx, after, switches)
        return after

    def switches(self) -> Switches:
        with self._lock:
            return self._switches()

    def switch(self, wanted: dict[str, object]) -> Switches:
        """Sets some switches.

        Raises:
            Refused: see `Switches.changed`.
        """
        with self._transaction() as tx:
            after = self._switches().changed(wanted)
            tx.execute("INSERT OR REPLACE INTO switches VALUES (1, ?)", [json.dumps(asdict(after))])
        return after

    def read(self) -> list[dict[str, Any]]:
        """Every payment with what happened to it, the oldest first."""
        with self._lock:
            payments = self._database.execute(
                "SELECT payment_id, reference, method, currency, minor_units, state FROM payments ORDER BY rowid"
            )
            names = ("paymentId", "reference", "method", "currency", "minorUnits", "state")
            books: dict[str, dict[str, Any]] = {row[0]: {**dict(zip(names, row, strict=True)), "entries": []} for row in payments}
            for payment_id, *entry in self._database.execute(
                "SELECT payment_id, state, currency, minor_units, at FROM entries ORDER BY entry_id"
            ):
                books[payment_id]["entries"].append(dict(zip(("state", "currency", "minorUnits", "at"), entry, strict=True)))
        return list(books.values())

    def next_webhook(self) -> Webhook:
        """Waits for the webhook that is due longest, of a payment that has none under way; one is until `delivered` or `put_off`."""
        with self._has_webhooks:
            while True:
                webhook, wait = self._due()
                if webhook:
                    self._under_way.add(webhook.payment_id)
                    return webhook
                self._has_webhooks.wait(wait)

    def delivered(self, webhook: Webhook) -> None:
        """The shop has confirmed it."""
        with self._ended(webhook) as tx:
            tx.execute("DELETE FROM webhooks WHERE webhook_id = ?", [webhook.webhook_id])

    def put_off(self, webhook: Webhook) -> None:
        """It is sent again later; after a day it is given up."""
        if webhook.attempts >= MOST_ATTEMPTS:
            return self.delivered(webhook)
        pause = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(webhook.attempts, 10))
        change = [time.time() + pause, webhook.attempts + 1, webhook.webhook_id]
        with self._ended(webhook) as tx:
            tx.execute("UPDATE webhooks SET due_at = ?, attempts = ? WHERE webhook_id = ?", change)
        return None

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _due(self) -> tuple[Webhook | None, float]:
        """What is to be sent next, or how many seconds it is until then."""
        row = self._database.execute(
            f"SELECT webhook_id, payment_id, body, attempts, due_at FROM webhooks WHERE payment_id NOT IN ({_marks(self._under_way)})"
            " ORDER BY due_at, webhook_id LIMIT 1",
            [*self._under_way],
        ).fetchone()
        if row is None:
            return None, LONGEST_RETRY_SECONDS
        webhook_id, payment_id, body, attempts, due_at = row
        wait = due_at - time.time()
        return (None, wait) if wait > 0 else (Webhook(webhook_id, payment_id, body.encode(), attempts), 0.0)

    @contextmanager
    def _ended(self, webhook: Webhook) -> Iterator[sqlite3.Connection]:
        """A transaction after which the webhook is no longer under way."""
        with self._transaction() as tx:
            yield tx
            self._under_way.discard(webhook.payment_id)
            self._has_webhooks.notify()

    def _tell(self, tx: sqlite3.Connection, payment: Payment, switches: Switches) -> None:
        if switches.lose_webhooks:
            return
        (number,) = tx.execute("SELECT count(*) FROM entries WHERE payment_id = ?", [payment.payment_id]).fetchone()
        late = DISORDER_SECONDS if switches.disorder and number == 1 else 0.0
        body = json.dumps(document(payment))
        row = (payment.payment_id, body, payment.changed_at + switches.webhook_delay_seconds + late)
        for _ in range(1 + switches.duplicate_webhooks):
            tx.execute("INSERT INTO webhooks (payment_id, body, due_at) VALUES (?, ?, ?)", row)
            self._has_webhooks.notify()

    def _one(self, column: str, value: str) -> Payment | None:
        row = self._database.execute(f"SELECT * FROM payments WHERE {column} = ?", [value]).fetchone()
        return Payment(*row) if row else None

    def _switches(self) -> Switches:
        row = self._database.execute("SELECT document FROM switches").fetchone()
        return Switches(**json.loads(row[0])) if row else Switches()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise


def _marks(values: Collection[str]) -> str:
    """Places for them in a statement."""
    return ", ".join("?" * len(values))


def document(payment: Payment) -> dict[str, Any]:
    """A payment as the API and the webhooks show it."""
    return {
        "paymentId": payment.payment_id,
        "reference": payment.reference,
        "method": payment.method,
        "currency": payment.currency,
        "minorUnits": payment.minor_units,
        "state": payment.state,
        "reason": payment.reason,
        "changedAt": payment.changed_at,
    }
