"""The gateway's HTTP face: its API, the page where customers pay, its books and its switches."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from sandbox.books import Books, document
from sandbox.model import METHODS, Payment, Refused, paying
from sandbox.page import page

_MOST_BYTES = 64 * 1024
_IDLE_SECONDS = 30
_CALLS = re.compile(r"/v1/payments(?:/(?P<id>[0-9A-Za-z-]{1,64})(?:/(?P<action>capture|void|refund))?)?")
_PAGE = re.compile(r"/pay/(?P<token>[\w-]{1,64})")


class Gateway(ThreadingHTTPServer):
    """Serves on a port. Links for customers name 127.0.0.1, whatever the host that it listens on."""

    daemon_threads = True
    # By default five callers may wait; the kernel lets the sixth try again a second later.
    request_queue_size = 256

    def __init__(self, port: int, books: Books, api_key: str, host: str = "127.0.0.1") -> None:
        super().__init__((host, port), _Handler)
        self.books = books
        self.authorization = f"Bearer {api_key}".encode()
        self.url = f"http://127.0.0.1:{port}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Without it, the small answers of a kept connection wait 40 ms for each other's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answered(self._read)

    def do_POST(self) -> None:
        self._answered(self._write)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a link's token is for its customer alone."""

    def _answered(self, work: Callable[[bytes], None]) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _MOST_BYTES or "transfer-encoding" in self.headers:
            self.close_connection = True
            return self._json(413, {"error": "The body is too long, or its length isn't said."})
        body = self.rfile.read(int(length))
        try:
            work(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Refused as refused:
            self._json(400, {"error": str(refused)})
        return None

    def _read(self, body: bytes) -> None:
        books = self.server.books
        if self.path == "/healthz":
            return self._json(200, {})
        if on_page := _PAGE.fullmatch(self.path):
            return self._show(books.find_by_token(on_page["token"]))
        if not self._is_authorized():
            return None
        if self.path == "/books":
            return self._json(200, {"payments": books.read()})
        if self.path == "/switches":
            return self._json(200, asdict(books.switches()))
        if (call := _CALLS.fullmatch(self.path)) and call["id"] and not call["action"]:
            return self._act(lambda: books.find(call["id"]))
        return self._json(404, {"error": "There is nothing here."})

    def _write(self, body: bytes) -> None:
        books = self.server.books
        if on_page := _PAGE.fullmatch(self.path):
            return self._pay(on_page["token"], parse_qs(body.decode("latin-1")).get("outcome", [""])[0])
        if not self._is_authorized():
            return None
        if self.path == "/switches":
            return self._json(200, asdict(books.switch(_object(body))))
        call = _CALLS.fullmatch(self.path)
        if call and call["action"]:
            return self._act(lambda: books.act(call["id"], call["action"]), call["id"])
        if call and not call["id"]:
            wanted = _opening(_object(body))
            return self._act(lambda: books.open(**wanted), wanted["payment_id"])
        return self._json(404, {"error": "There is nothing here."})

    def _act(self, work: Callable[[], Payment | None], payment_id: str = "") -> None:
        """Answers a call of the API with the payment as it stands, unless a switch has something else in mind."""
        switches = self.server.books.switches()
        if switches.down:
            return self._json(503, {"error": "Down for maintenance."})
        status = 200
        try:
            payment = work()
        except KeyError:
            payment = None
        except Refused:
            status, payment = 409, self.server.books.find(payment_id)
        time.sleep(switches.answer_delay_seconds)
        if switches.unknown:
            return self._json(500, {"error": "Something went wrong."})
        if payment is None:
            return self._json(404, {"error": "There is no such payment."})
        return self._json(status, {**document(payment), "link": f"{self.server.url}/pay/{payment.token}"})

    def _pay(self, token: str, outcome: str) -> None:
        """What the customer has decided; the browser then reads the page anew, so that going back pays nothing twice."""
        books = self.server.books
        payment = books.find_by_token(token)
        if payment is None or outcome not in ("pay", "decline"):
            return self._show(payment)
        action = paying(payment) if outcome == "pay" and not books.switches().decline else "decline"
        try:
            books.act(payment.payment_id, action)
        except Refused:
            return self._show(books.find(payment.payment_id), status=409)
        return self._send(303, b"", "text/plain", location=self.path)

    def _show(self, payment: Payment | None, status: int = 200) -> None:
        if payment is None:
            return self._send(404, b"There is no such payment.\n", "text/plain; charset=utf-8")
        text = page(payment, is_late=self.server.books.switches().late)
        return self._send(status, text.encode(), "text/html; charset=utf-8")

    def _is_authorized(self) -> bool:
        if hmac.compare_digest(self.headers.get("authorization", "").encode(), self.server.authorization):
            return True
        self._json(401, {"error": "This needs the key of the shop: Authorization: Bearer …"})
        return False

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str, *, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("referrer-policy", "no-referrer")
        self.send_header(
            "content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        )
        self.end_headers()
        self.wfile.write(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refused("The body isn't a JSON object.")
    return document


def _opening(document: dict[str, Any]) -> dict[str, Any]:
    """What a new payment is about, of the right types."""
    wanted = {
        "payment_id": document.get("paymentId"),
        "method": document.get("method"),
        "currency": document.get("currency"),
        "minor_units": document.get("minorUnits"),
        "reference": document.get("reference", ""),
    }
    texts = [wanted[name] for name in ("payment_id", "method", "currency", "reference")]
    if not all(isinstance(text, str) and len(text) <= 64 for text in texts) or not re.fullmatch("[0-9A-Za-z-]+", wanted["payment_id"]):
        raise Refused("paymentId, method, currency and reference must be short texts.")
    if wanted["method"] not in METHODS:
        raise Refused(f"The method must be one of {', '.join(METHODS)}.")
    if type(wanted["minor_units"]) is not int or not 0 <= wanted["minor_units"] < 2**53:
        raise Refused("minorUnits must be a number of minor units, not negative.")
    return wanted
