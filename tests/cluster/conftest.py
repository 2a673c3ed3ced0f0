"""Kubernetes' API server and istiod, started once, with the definitions of the kinds that the manifests use."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kustomize import rendered
from tools.cluster import MESH
from tools.cluster.rig import build
from tools.cluster.rig.plane import ApiServer, Etcd, Istiod
from tools.servers import Running

OVERLAYS = MESH / "kubernetes" / "overlays"
STRICT = "strict"
"""A namespace for pods that keep to the profile `restricted` of Kubernetes' Pod Security Standards."""
NAMESPACES = ("bazaar", "istio-system", "istio-ingress", STRICT)
COMPONENTS = ("canary", "mirror", "game-day")


@dataclass
class Cluster:
    """The programs, and an API server to speak to."""

    programs: Path
    folder: Path
    kubeconfig: Path
    istiod: str

    def kubectl(self, *arguments: str, given: list[dict[str, Any]] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command; `given` comes to it as a file called `-`."""
        return self.run("kubectl", f"--kubeconfig={self.kubeconfig}", *arguments, given=given)

    def run(self, program: str, *arguments: str, given: list[dict[str, Any]] | None = None) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump_all(given) if given is not None else None
        command = [str(self.programs / program), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=110)

    @contextmanager
    def holding(self, documents: list[dict[str, Any]]) -> Iterator[None]:
        """Applies them for the length of a `with` block. Namespaces are there already, and stay."""
        objects = [each for each in documents if each["kind"] != "Namespace"]
        try:
            must(self.kubectl("apply", "-f", "-", given=objects))
            yield
        finally:
            must(self.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", given=objects))

    def served(self) -> set[str]:
        """The versions of kinds that the API server knows: `apps/v1`."""
        return set(self.kubectl("api-versions").stdout.split())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    programs, definitions = build.programs(print), build.definitions()
    with tempfile.TemporaryDirectory(prefix="bz-", dir="/tmp") as name:
        folder = Path(name)
        etcd = Etcd(programs, folder)
        api = ApiServer(programs, folder, etcd)
        istiod = Istiod(programs, folder, api.kubeconfig)
        with Running(etcd, folder / "etcd.log"), Running(api, folder / "api.log", timeout=120):
            cluster = Cluster(programs, folder, api.kubeconfig, istiod.address)
            for path in definitions:
                must(cluster.kubectl("create", "-f", str(path)))
            must(cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"))
            for namespace in NAMESPACES:
                must(cluster.kubectl("create", "namespace", namespace))
            must(cluster.kubectl("label", "namespace", STRICT, "pod-security.kubernetes.io/enforce=restricted"))
            with Running(istiod, folder / "istiod.log", timeout=120):
                yield cluster


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_components(folder: Path, overlay: str, *components: str) -> list[dict[str, Any]]:
    """An overlay with components that are added for a while."""
    plan = {"resources": [str(OVERLAYS / overlay)], "components": [str(MESH / "istio" / name) for name in components]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(plan))
    return rendered(folder)


def chosen(documents: list[dict[str, Any]], *keys: tuple[str, str]) -> list[dict[str, Any]]:
    """Those of these kinds and names."""
    found = [document for document in documents if (document["kind"], document["metadata"]["name"]) in keys]
    assert len(found) == len(keys)
    return found
