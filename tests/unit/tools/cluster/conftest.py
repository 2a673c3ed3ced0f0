"""The overlays, rendered once."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.kustomize import rendered
from tools.cluster import MESH

OVERLAYS = ("dev", "production", "sale", "ambient", "region-a", "region-b")


@cache
def overlay(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(rendered(MESH / "kubernetes" / "overlays" / name))


def of_kind(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [document for document in overlay(name) if document["kind"] in kinds]


def named(name: str, kind: str, which: str) -> dict[str, Any]:
    return next(document for document in of_kind(name, kind) if document["metadata"]["name"] == which)


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a workload: those that start it, too."""
    pod = document["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]
