"""The node's process, and how it is reached."""

from __future__ import annotations

import os
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from tools.home import write_private
from tools.servers import Program, StartFailed, free_port, is_listening
from tools.servers.java import find_java
from tools.servers.opensearch import distribution

LOGGING = Path(__file__).with_name("log4j2.properties")


class Ports(NamedTuple):
    """Where it listens, on 127.0.0.1."""

    http: int
    transport: int
    """For other nodes, of which there is none."""


class OpenSearch:
    """One node with an index of its own, for whoever is on this machine."""

    name = "opensearch"
    role = "node"

    def __init__(self, directory: Path, ports: Ports | None = None) -> None:
        self._directory = directory
        self._configuration = directory / "config"
        self.ports = ports or Ports(free_port(), free_port())
        self._java = Path("java")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.http}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def prepare(self) -> None:
        """Writes the configuration.

        Raises:
            JavaMissing: no Java here is new enough.
            StartFailed: the distribution was not fetched.
        """
        self._java = find_java(os.environ, distribution.JAVA)
        if not (place := distribution.folder(os.environ)).exists():
            raise StartFailed(f"OpenSearch is not in {place}")
        self._configuration.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._configuration / "opensearch.yml", "\n".join(self._lines()) + "\n")
        write_private(self._configuration / "log4j2.properties", LOGGING.read_text())
        write_private(self._configuration / "jvm.options", "")

    def _lines(self) -> list[str]:
        return [
            "cluster.name: bazaar",
            "node.name: opensearch",
            "network.host: 127.0.0.1",
            f"http.port: {self.ports.http}",
            f"transport.port: {self.ports.transport}",
            "discovery.type: single-node",
            f"path.data: {self._directory / 'data'}",
            f"path.logs: {self._directory / 'logs'}",
            # An index is made with its mapping or not at all.
            "action.auto_create_index: false",
            # The disk is the machine's; ./bazaar looks at what is left of it before a start.
            "cluster.routing.allocation.disk.threshold_enabled: false",
            # Two cores, shared with everything else.
            "node.processors: 2",
        ]

    def program(self) -> Program:
        place = distribution.folder(os.environ)
        machine = ["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"]
        machine += ["--enable-native-access=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
        machine += [f"-javaagent:{place / 'agent' / 'opensearch-agent.jar'}", f"-Djava.io.tmpdir={self._directory}"]
        machine += [f"-Dopensearch.path.home={place}", f"-Dopensearch.path.conf={self._configuration}"]
        machine += ["-Dopensearch.distribution.type=zip", "-Dopensearch.bundled_jdk=false", "-Dio.netty.allocator.numDirectArenas=0"]
        # It ends its own logging, and fails to when that has ended by itself.
        machine += ["-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true"]
        classes = ["-cp", f"{place / 'lib'}/*", "org.opensearch.bootstrap.OpenSearch"]
        # It refuses to be root.
        return Program([str(self._java), *machine, *classes], unprivileged=True)

    def ready(self) -> bool:
        return is_listening(self.ports.http) and self._status("/_cluster/health?wait_for_status=yellow&timeout=1s") == 200

    def answers(self) -> bool:
        return self._status("/") is not None

    def _status(self, path: str) -> int | None:
        """What it answers with; None when it is silent."""
        connection = HTTPConnection("127.0.0.1", self.ports.http, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
