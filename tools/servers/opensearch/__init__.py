"""OpenSearch 3.8, one node: the index of products that production runs, for one machine."""

from tools.servers.opensearch.distribution import JAVA, fetch
from tools.servers.opensearch.server import OpenSearch, Ports

__all__ = ["JAVA", "OpenSearch", "Ports", "fetch"]
