"""The broker's process, and how it is reached."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tools import secrets
from tools.home import write_private
from tools.servers import Program, StartFailed, free_port, is_listening
from tools.servers.java import find_java
from tools.servers.pulsar import configuration, credentials, jars, storage
from tools.servers.pulsar.configuration import ADMIN, Ports

TENANT, NAMESPACE = "bazaar", "bazaar/shop"
"""Where the shop's topics are."""
SIGNING_KEY = "pulsar_key.pem"
OPENED = ("java.io", "java.util.zip", "java.nio", "jdk.internal.misc", "sun.net", "jdk.internal.platform")
"""Packages of Java's base that Pulsar and Netty reach into."""
LOGGING = Path(__file__).with_name("log4j2.xml")
DRIVERS = "org.apache.pulsar.metadata.bookkeeper.PulsarMetadata"


class Pulsar:
    """A broker with its own storage, that lets in who has a token.

    Args:
        directory: of its data and configuration.
        vault: folder of the home's secrets; the certificates are made there.
        recording: the file for an archive of all classes that are loaded, written when it ends.
    """

    name = "pulsar"
    role = "broker"

    def __init__(self, directory: Path, vault: Path, ports: Ports | None = None, recording: Path | None = None) -> None:
        self._recording = recording
        self._directory = directory
        self._vault = vault
        self.ports = ports or Ports(free_port(), free_port(), free_port(), free_port())
        self._metadata = directory / "metadata"
        self._java = Path("java")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.plain}"

    def url(self, role: str) -> str:
        """Where the shop's topics are, with a token for the role; what it may do there is granted by name."""
        return f"pulsar://:{self._token(role)}@{self.address}/{NAMESPACE}"

    def tls_url(self, role: str) -> str:
        """The same over TLS; `ca` names the file of the authority to believe."""
        return f"pulsar+ssl://:{self._token(role)}@127.0.0.1:{self.ports.tls}/{NAMESPACE}?ca={self._vault / credentials.FILES.authority}"

    def admin_url(self) -> str:
        """For who may do everything; `admin` is where the broker takes orders, over HTTP."""
        return f"{self.url(ADMIN)}?admin=http://127.0.0.1:{self.ports.admin}"

    def prepare(self) -> None:
        """Writes the configuration; everything in it is the owner's alone.

        Raises:
            JavaMissing: no Java here is new enough.
            StartFailed: the jars were not fetched.
        """
        self._java = find_java(os.environ, jars.JAVA)
        if not jars.folder(os.environ).exists():
            raise StartFailed(f"Pulsar's jars are not in {jars.folder(os.environ)}")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        credentials.make_certificates(self._vault)
        lines = configuration.lines(self.ports, self._signing_key(), self._vault)
        write_private(self._directory / "standalone.conf", "\n".join(lines) + "\n")
        if storage.was_cut_off(self._metadata):
            storage.forget_locks(self._run, self._metadata)

    def program(self) -> Program:
        own = ["--config", self._directory / "standalone.conf", "--no-functions-worker", "--no-stream-storage"]
        own += ["--advertised-address", "127.0.0.1", "--bookkeeper-port", self.ports.bookie]
        own += ["--metadata-dir", self._metadata, "--bookkeeper-dir", self._directory / "bookkeeper"]
        return Program(self._run("org.apache.pulsar.PulsarStandaloneStarter", *own))

    def _run(self, main: str, *arguments: object) -> list[str]:
        """The command line of one of Pulsar's programs."""
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
        machine = ["-Xms64m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *opened]
        machine += ["--add-opens=java.management/sun.management=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true"]
        machine += self._classes()
        machine += [f"-Dlog4j2.configurationFile={LOGGING}"]
        machine += [f"-Dbookkeeper.metadata.{side}.drivers={DRIVERS}{side.capitalize()}Driver" for side in ("bookie", "client")]
        classes = ["-cp", f"{jars.folder(os.environ)}/*", main]
        return [str(word) for word in (self._java, *machine, *classes, *arguments)]

    def _classes(self) -> list[str]:
        """Where Java finds what it knows of the classes, or keeps it."""
        if self._recording:
            return [f"-XX:ArchiveClassesAtExit={self._recording}"]
        archive = jars.archive(self._java, os.environ)
        return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []

    def ready(self) -> bool:
        """Whether it stores and gives back a message; makes the shop's namespace on the first start."""
        if not is_listening(self.ports.admin):
            return False
        if self._status("GET", "/admin/v2/brokers/health") != 200:
            return False
        return self._status("GET", f"/admin/v2/namespaces/{NAMESPACE}") == 200 or self._make_namespace()

    def answers(self) -> bool:
        return self._status("GET", "/admin/v2/clusters", timeout=2) is not None

    def _make_namespace(self) -> bool:
        clusters = [configuration.FIXED["clusterName"]]
        if self._status("GET", f"/admin/v2/tenants/{TENANT}") != 200:
            self._status("PUT", f"/admin/v2/tenants/{TENANT}", {"adminRoles": [], "allowedClusters": clusters})
        policies: dict[str, Any] = {"autoTopicCreationOverride": {"allowAutoTopicCreation": False}}
        return self._status("PUT", f"/admin/v2/namespaces/{NAMESPACE}", policies) == 204

    def _status(self, method: str, path: str, body: object = None, timeout: float = 10) -> int | None:
        """What the broker's admin interface answers with; None when it is silent."""
        connection = HTTPConnection("127.0.0.1", self.ports.admin, timeout=timeout)
        headers = {"Authorization": f"Bearer {self._token(ADMIN)}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def _token(self, role: str) -> str:
        return credentials.token(self._signing_key(), role)

    def _signing_key(self) -> str:
        return secrets.read(self._vault, SIGNING_KEY)
