"""The programs of the rig, built from their Go modules once for all homes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tools import ExpectedFailure

MODULES = Path(__file__).parent / "go"
"""A folder a module: go.mod says which versions, go.sum what they hash to."""

PROGRAMS = {
    "kubernetes": {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    },
    "istio": {
        "istioctl": "istio.io/istio/istioctl/cmd/istioctl",
        "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
    },
}
ISTIO = "istio.io/istio"
DEFINITIONS = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases",
    "github.com/cert-manager/cert-manager@v1.21.2": "deploy/crds",
    "sigs.k8s.io/gateway-api@v1.6.3": "config/crd/standard",
    "github.com/cloudnative-pg/cloudnative-pg@v1.28.0": "config/crd/bases",
}
"""Modules that hold definitions of the kinds that manifests use. Percona's and the Redis operator's can't be had this way."""


def programs(tell: Callable[[str], None]) -> Path:
    """The folder of the programs; builds what isn't there yet, which takes 20 minutes of two cores and more, 7 GB of disk and 3 of memory.

    Raises:
        ExpectedFailure: Go is missing, or a build failed.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "bazaar" / f"cluster-{_stamp()}"
    folder.mkdir(parents=True, exist_ok=True)
    for module, commands in PROGRAMS.items():
        for name, package in commands.items():
            if not (folder / name).exists():
                tell(f"building {name} (once)")
                partly = folder / f"{name}.partly"
                _go("build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(partly), package, cwd=MODULES / module)
                partly.rename(folder / name)
    return folder


def definitions() -> list[Path]:
    """Files with the definitions of Istio's kinds, KEDA's, cert-manager's, the Gateway API's and CloudNativePG's.

    Raises:
        ExpectedFailure: as `programs`.
    """
    istio = Path(_go("list", "-mod=readonly", "-m", "-f", "{{.Dir}}", ISTIO, cwd=MODULES / "istio").strip())
    found = [istio / "manifests" / "charts" / "base" / "files" / "crd-all.gen.yaml"]
    for module, folder in DEFINITIONS.items():
        place = Path(json.loads(_go("mod", "download", "-json", module, cwd=MODULES))["Dir"])
        found += [path for path in sorted((place / folder).glob("*.yaml")) if path.name != "kustomization.yaml"]
    return found


def _go(*arguments: str, cwd: Path) -> str:
    if not (go := shutil.which("go")):
        raise ExpectedFailure("these checks need Go 1.26 or later, to build Kubernetes' API server and Istio; it is not on the PATH")
    done = subprocess.run([go, *arguments], cwd=cwd, env={**os.environ, "GOFLAGS": ""}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExpectedFailure(f"go {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _stamp() -> str:
    sums = [(MODULES / module / file).read_bytes() for module in sorted(PROGRAMS) for file in ("go.mod", "go.sum")]
    return hashlib.sha256(b"".join(sums)).hexdigest()[:8]
