"""Apache Pulsar 4.0, standalone: the event bus that production runs, for one machine."""

from tools.servers.pulsar.configuration import Ports
from tools.servers.pulsar.jars import FetchFailed, MavenMissing, fetch
from tools.servers.pulsar.java import JavaMissing, find_java
from tools.servers.pulsar.server import NAMESPACE, Pulsar

__all__ = ["NAMESPACE", "FetchFailed", "JavaMissing", "MavenMissing", "Ports", "Pulsar", "fetch", "find_java"]
