"""Apache Pulsar 4.0, standalone: the event bus that production runs, for one machine."""

from tools.servers.pulsar.configuration import Ports
from tools.servers.pulsar.jars import FetchFailed, MavenMissing, archive, fetch
from tools.servers.pulsar.java import JavaMissing, find_java
from tools.servers.pulsar.rehearsal import rehearse
from tools.servers.pulsar.server import NAMESPACE, Pulsar

__all__ = ["NAMESPACE", "FetchFailed", "JavaMissing", "MavenMissing", "Ports", "Pulsar", "archive", "fetch", "find_java", "rehearse"]
