"""The sandbox gateway in tests: its process, what a customer does on its page, and what its books say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tools.servers import Running
from tools.servers.sandbox import Sandbox

Hear = Callable[[dict[str, str], bytes], int]
"""Gets a webhook's headers and body; returns the status to answer with."""


class SandboxClient:
    """What tests do with a running sandbox."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30)

    @contextmanager
    def switched(self, **switches: bool | float) -> Iterator[None]:
        """Some switches on for a while."""
        before = self.http.get("/switches").json()
        assert self.http.post("/switches", json=switches).status_code == 200
        try:
            yield
        finally:
            self.http.post("/switches", json={name: before[name] for name in switches})

    def pay(self, link: str) -> int:
        """Presses Pay on the page; the status of the answer."""
        return self._press(link, "pay")

    def decline(self, link: str) -> int:
        return self._press(link, "decline")

    def page(self, link: str) -> str:
        return httpx.get(link, trust_env=False).text

    def entries(self, reference: str) -> list[str]:
        """What has happened to the payment of an order, in order."""
        return [entry["state"] for payment in self.books() if payment["reference"] == reference for entry in payment["entries"]]

    def books(self) -> list[dict[str, Any]]:
        return self.http.get("/books").json()["payments"]

    def _press(self, link: str, outcome: str) -> int:
        return httpx.post(link, data={"outcome": outcome}, trust_env=False).status_code


class Door:
    """Where a sandbox's webhooks arrive when there is no edge."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.hear: Hear = lambda headers, body: 200
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                door.heard.append((headers, body))
                self.send_response(door.hear(headers, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_sandbox(folder: Path, secrets: Path, webhooks: str) -> Iterator[tuple[Sandbox, SandboxClient]]:
    """A sandbox's process, and a client of it."""
    server = Sandbox(folder / "sandbox", secrets, webhooks)
    with Running(server, folder / "sandbox.log"):
        client = SandboxClient(server.url, (secrets / "sandbox_key").read_text().strip())
        yield server, client
        client.http.close()
