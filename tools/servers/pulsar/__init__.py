"""Apache Pulsar 4.0, standalone: the event bus that production runs, for one machine."""

from tools.servers.pulsar.configuration import Ports
from tools.servers.pulsar.jars import JAVA, archive, fetch
from tools.servers.pulsar.rehearsal import rehearse
from tools.servers.pulsar.server import NAMESPACE, Pulsar

__all__ = ["JAVA", "NAMESPACE", "Ports", "Pulsar", "archive", "fetch", "rehearse"]
