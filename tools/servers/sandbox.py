"""The sandbox payment gateway."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tools.servers import Program, free_port


class Sandbox:
    """`python -m sandbox` on a port of 127.0.0.1.

    Args:
        directory: of its books.
        secrets: holds its API's key and the keys of its webhooks.
        webhooks: URL where the shop takes them.
    """

    name = "sandbox"
    role = "service"

    def __init__(self, directory: Path, secrets: Path, webhooks: str, port: int | None = None) -> None:
        self._directory = directory
        self._secrets = secrets
        self._webhooks = webhooks
        self.port = port or free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def program(self) -> Program:
        options = [
            "--port",
            str(self.port),
            "--folder",
            str(self._directory),
            "--secrets",
            str(self._secrets),
            "--webhooks",
            self._webhooks,
        ]
        return Program([sys.executable, "-m", "sandbox", *options])

    def ready(self) -> bool:
        return self._health() == 200

    def answers(self) -> bool:
        return self._health() is not None

    def _health(self) -> int | None:
        """The status that it answers with; None when it is silent."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
