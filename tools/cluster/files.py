"""The files that the generated manifests lie in: one a service and folder, with a list of them for Kustomize."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from services.kit.auth import EDGE
from tools import ROOT
from tools.cluster import MESH, edge, postgres
from tools.cluster.facts import Fact, facts
from tools.cluster.istio import Document, authorization, counting, destination, host, routes, scope, through_waypoint
from tools.cluster.network import policy, server_policies
from tools.cluster.scaling import autoscalers, disruption_budgets
from tools.cluster.workloads import CANARY, SERVE, account, deployment, deployments, migration, service

WORKLOADS, ROUTES = MESH / "kubernetes" / "base" / "services", MESH / "istio" / "base" / "services"
DATABASES = MESH / "kubernetes" / "servers" / "postgres"
SIDECARS, WAYPOINTS = MESH / "istio" / "sidecar" / "services", MESH / "istio" / "ambient" / "services"
CANARIES, CANARY_OF = MESH / "istio" / "canary" / "made", "ranking"
HEAD = "# Made from mesh/policy.yaml, the protos and the services' declarations by `python -m tools.cluster`; not to be edited.\n"
LIST = "kustomization.yaml"


def fresh() -> dict[Path, str]:
    """Every generated file by its path."""
    found: dict[Path, str] = {}
    besides = {
        WORKLOADS: {"edge.yaml": edge.addresses(), "servers.yaml": server_policies()},
        SIDECARS: {"edge.yaml": [scope(EDGE, [])]},
    }
    makers = {WORKLOADS: workloads, DATABASES: databases, ROUTES: traffic, SIDECARS: beside_sidecars, WAYPOINTS: behind_waypoints}
    for folder, of in makers.items():
        texts = {f"{fact.name}.yaml": written(documents) for fact in facts() if (documents := of(fact))}
        texts |= {name: written(documents) for name, documents in besides.get(folder, {}).items()}
        listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(texts)}
        found |= {folder / name: text for name, text in texts.items()} | {folder / LIST: written([listed])}
    canary = [deployment(fact, SERVE, CANARY) for fact in facts() if fact.name == CANARY_OF]
    return found | {CANARIES / "canary.yaml": written(canary)}


def workloads(fact: Fact) -> list[Document]:
    """What Kubernetes needs to run one service."""
    jobs = [migration(fact)] if fact.has_database else []
    return [
        account(fact.name),
        service(fact.name),
        *deployments(fact),
        *jobs,
        *autoscalers(fact),
        *disruption_budgets(fact),
        policy(fact),
    ]


def databases(fact: Fact) -> list[Document]:
    return [postgres.cluster(fact)] if fact.has_database else []


def traffic(fact: Fact) -> list[Document]:
    return [routes(fact), destination(fact.name)]


def beside_sidecars(fact: Fact) -> list[Document]:
    return [*_rules(fact, at_waypoint=False), scope(fact.name, [host(server) for server in fact.servers])]


def behind_waypoints(fact: Fact) -> list[Document]:
    return [*_rules(fact, at_waypoint=True), through_waypoint(fact)]


def _rules(fact: Fact, *, at_waypoint: bool) -> list[Document]:
    counts = [counting(fact, at_waypoint=at_waypoint)] if fact.counts_calls else []
    return [authorization(fact, at_waypoint=at_waypoint), *counts]


def written(documents: Sequence[Document]) -> str:
    """YAML, in the order given."""
    return HEAD + yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=140)


class _Plain(yaml.SafeDumper):
    """Without anchors: each place says what it says."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def stale() -> str:
    """The generated manifests that aren't what the code makes of them, in a sentence; empty when all is well."""
    wanted = fresh()
    old = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    left_over = [path for folder in {path.parent for path in wanted} for path in folder.glob("*") if path not in wanted]
    names = sorted(str(path.relative_to(ROOT)) for path in [*old, *left_over])
    return f"Run `python -m tools.cluster`; stale: {', '.join(names[:5])}" + (" …" if len(names) > 5 else "") if names else ""


def write() -> None:
    """Writes every generated file, and takes away what is no longer one."""
    wanted = fresh()
    for folder in {path.parent for path in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*"):
            if path not in wanted:
                path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
