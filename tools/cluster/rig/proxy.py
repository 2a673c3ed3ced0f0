"""An Envoy that istiod programs as the sidecar of one pod."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.cluster import NAMESPACE, TRUST_DOMAIN
from tools.servers import Program, is_listening
from tools.servers.envoy import BINARY


class Proxy:
    """A sidecar.

    Args:
        address: its pod's, one of 127.0.0.0/8 that no other has.
        port: where it listens once istiod has told it to.
        istiod: `host:port`.
    """

    role = "server"

    def __init__(self, name: str, account: str, labels: Mapping[str, str], address: str, port: int, folder: Path, istiod: str) -> None:
        self.name, self.account, self._labels = name, account, labels
        self.host, self.port, self._folder, self._istiod = address, port, folder, istiod

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def secrets(self) -> Path:
        """The unix socket where it asks for its certificate."""
        return self._folder / f"{self.name}.sock"

    @property
    def admin(self) -> Path:
        """The unix socket where it tells what it has counted."""
        return self._folder / f"{self.name}.admin"

    def prepare(self) -> None:
        (self._folder / f"{self.name}.yaml").write_text(yaml.safe_dump(self._bootstrap()))

    def program(self) -> Program:
        options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        return Program([str(BINARY), "-c", str(self._folder / f"{self.name}.yaml"), *options])

    def ready(self) -> bool:
        return self.answers()

    def answers(self) -> bool:
        return is_listening(self.port, self.host)

    def _bootstrap(self) -> dict[str, Any]:
        ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
        host, _, port = self._istiod.rpartition(":")
        metadata = {
            "NAMESPACE": NAMESPACE,
            "SERVICE_ACCOUNT": self.account,
            "LABELS": dict(self._labels),
            "CLUSTER_ID": "Kubernetes",
            "ISTIO_VERSION": "1.31.1",
            "INSTANCE_IPS": self.host,
            # Nothing redirects what the application sends: it dials the proxy.
            "INTERCEPTION_MODE": "NONE",
        }
        return {
            "node": {
                "id": f"sidecar~{self.host}~{self.name}.{NAMESPACE}~{NAMESPACE}.svc.{TRUST_DOMAIN}",
                "cluster": f"{self.account}.{NAMESPACE}",
                "metadata": metadata,
            },
            "admin": {"address": {"pipe": {"path": str(self.admin)}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": True,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": {
                "clusters": [
                    _cluster("xds-grpc", {"socket_address": {"address": host, "port_value": int(port)}}),
                    _cluster("sds-grpc", {"pipe": {"path": str(self.secrets)}}),
                ]
            },
        }


def _cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {options: http2},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
