"""etcd, Kubernetes' API server and istiod, on free ports of 127.0.0.1. No controller runs: objects are kept, and nothing comes of them."""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tools.home import write_private
from tools.servers import Program, free_port, is_listening


class _Part:
    role = "server"
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Nothing to do."""

    def answers(self) -> bool:
        return is_listening(self.port)


class Etcd(_Part):
    """Where the API server keeps what it is given."""

    name = "etcd"

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self.port, self._peers = free_port(), free_port()

    def program(self) -> Program:
        clients, peers = f"http://{self.address}", f"http://127.0.0.1:{self._peers}"
        options = ["--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers, "--log-level", "error"]
        known = ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
        folder = ["--data-dir", str(self._folder / "etcd"), "--unsafe-no-fsync"]
        return Program([str(self._programs / "etcd"), *options, *known, *folder])

    def ready(self) -> bool:
        return is_listening(self.port)


class ApiServer(_Part):
    """Kubernetes' API, for one user who may do everything."""

    name = "kube-apiserver"

    def __init__(self, programs: Path, folder: Path, etcd: Etcd) -> None:
        self._programs, self._folder, self._etcd = programs, folder, etcd
        self._token = secrets.token_hex(16)
        self.port = free_port()
        self.kubeconfig = folder / "kubeconfig"

    def prepare(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_private(self._folder / "accounts.pem", pem.decode())
        write_private(self._folder / "tokens.csv", f"{self._token},admin,admin,system:masters\n")
        cluster = {"server": f"https://{self.address}", "insecure-skip-tls-verify": True}
        context = {"cluster": "rig", "user": "admin"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rig", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "rig", "context": context}],
            "current-context": "rig",
        }
        write_private(self.kubeconfig, yaml.safe_dump(document))

    def program(self) -> Program:
        keys = str(self._folder / "accounts.pem")
        options = {
            "etcd-servers": f"http://{self._etcd.address}",
            "bind-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self._folder / "certificates"),
            "endpoint-reconciler-type": "none",
            "service-cluster-ip-range": "10.96.0.0/16",
            "service-account-issuer": "https://rig",
            "service-account-key-file": keys,
            "service-account-signing-key-file": keys,
            "token-auth-file": str(self._folder / "tokens.csv"),
            "authorization-mode": "AlwaysAllow",
            "disable-admission-plugins": "ServiceAccount",
        }
        return Program([str(self._programs / "kube-apiserver"), *(f"--{name}={value}" for name, value in options.items())])

    def ready(self) -> bool:
        try:
            headers = {"authorization": f"Bearer {self._token}"}
            answer = httpx.get(f"https://{self.address}/readyz", verify=False, headers=headers, timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


class Istiod(_Part):
    """Istio's control plane, which reads that API and programs proxies."""

    name = "istiod"

    def __init__(self, programs: Path, folder: Path, kubeconfig: Path) -> None:
        self._programs, self._folder, self._kubeconfig = programs, folder, kubeconfig
        self.port, self._http, self._https, self._secure, self._monitoring = (free_port() for _ in range(5))

    def prepare(self) -> None:
        (self._folder / "mesh.yaml").write_text(yaml.safe_dump({"trustDomain": "cluster.local", "rootNamespace": "istio-system"}))

    def program(self) -> Program:
        ports = {"http": self._http, "https": self._https, "secureGRPC": self._secure, "monitoring": self._monitoring, "grpc": self.port}
        addresses = [f"--{name}Addr=127.0.0.1:{port}" for name, port in ports.items()]
        files = [f"--kubeconfig={self._kubeconfig}", f"--meshConfig={self._folder / 'mesh.yaml'}"]
        environment = {
            "POD_NAMESPACE": "istio-system",
            "POD_NAME": "istiod",
            "CLUSTER_ID": "Kubernetes",
            "REVISION": "default",
            # What only Istio's own build of Envoy has.
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "HOME": str(self._folder),
        }
        return Program([str(self._programs / "pilot-discovery"), "discovery", *files, *addresses, "--ctrlz_port=0"], environment)

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._http}/ready", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
