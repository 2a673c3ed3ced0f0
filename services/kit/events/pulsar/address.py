"""Where a Pulsar cluster is and how this process may speak to it, in one URL."""

from __future__ import annotations

from dataclasses import field
from urllib.parse import parse_qs, unquote, urlsplit

from services.kit.values import value

SCHEMES = ("pulsar", "pulsar+ssl")


@value
class Address:
    """`pulsar+ssl://:TOKEN@HOST:PORT[,HOST:PORT…]/TENANT/NAMESPACE?ca=FILE&admin=URL`."""

    brokers: str
    """Scheme, hosts and ports, as the client wants them."""
    namespace: str
    """`tenant/namespace`: where the topics live."""
    token: str = field(default="", repr=False)
    """Says which role this process has; without one it is anonymous."""
    ca_file: str = ""
    """PEM file of the authority that signed the brokers' certificates; the system's when empty."""
    admin: str = ""
    """URL of the admin API; empty for a role that has no business there."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Reads BAZAAR_EVENTS_URL.

        Raises:
            ValueError: it names no broker, or no tenant and namespace.
        """
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        namespace = parts.path.strip("/")
        if not hosts or namespace.count("/") != 1:
            raise ValueError("BAZAAR_EVENTS_URL should look like pulsar://:TOKEN@HOST:PORT/TENANT/NAMESPACE")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        token = unquote(user.partition(":")[2])
        return cls(f"{parts.scheme}://{hosts}", namespace, token, options.get("ca", ""), options.get("admin", "").rstrip("/"))

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return f"persistent://{self.namespace}/{name}"
