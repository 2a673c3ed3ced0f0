"""As much of Kustomize as the overlays use: resources, components, patches (RFC 6902) by kind, name and label, and images.

Anything else is refused, so that nothing is passed over in silence. Where kubectl is installed, a test compares the two.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images"}


class KeyRefused(Exception):
    """A kustomization says something that isn't rendered here; says what and where."""


class PatchFailed(Exception):
    """A patch names what isn't there, or expects something else; says which."""


def rendered(folder: Path) -> list[Document]:
    """The documents that `kubectl kustomize` prints for a folder, in no particular order.

    Raises:
        KeyRefused, PatchFailed: see there.
    """
    return _accumulated(folder, [])


def _accumulated(folder: Path, found: list[Document]) -> list[Document]:
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := plan.keys() - KNOWN:
        raise KeyRefused(f"{folder}: {', '.join(sorted(unknown))}")
    for name in plan.get("resources", []):
        path = folder / name
        found += _accumulated(path, []) if path.is_dir() else _read(path)
    for name in plan.get("components", []):
        found = _accumulated(folder / name, found)
    for patch in plan.get("patches", []):
        _apply(patch, found, folder)
    for image in plan.get("images", []):
        for document in found:
            _name_image(document, image)
    return found


def _read(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _apply(patch: Document, found: Iterable[Document], folder: Path) -> None:
    chosen = [document for document in found if _is_target(document, patch["target"])]
    if not chosen:
        raise PatchFailed(f"{folder}: nothing is {patch['target']}")
    for document in chosen:
        for step in yaml.safe_load(patch["patch"]):
            _take(document, step)


def _is_target(document: Document, target: Document) -> bool:
    label, _, value = target.get("labelSelector", "").partition("=")
    return (
        document["kind"] == target["kind"]
        and re.fullmatch(target.get("name", ".*"), document["metadata"]["name"]) is not None
        and (not label or document["metadata"].get("labels", {}).get(label) == value)
    )


def _take(document: Document, step: Document) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    place: Any = document
    try:
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        _change(place, int(last) if isinstance(place, list) else last, step)
    except (KeyError, IndexError) as error:
        raise PatchFailed(f"{document['kind']} {document['metadata']['name']}: {step['path']} isn't there") from error


def _change(place: Any, key: Any, step: Document) -> None:
    value = copy.deepcopy(step.get("value"))
    if step["op"] == "add" and isinstance(place, list):
        place.insert(key, value)
    elif step["op"] == "add":
        place[key] = value
    elif step["op"] == "test" and place[key] != value:
        raise PatchFailed(f"{step['path']} is {place[key]}, not {value}")
    elif step["op"] == "remove":
        del place[key]
    elif step["op"] == "replace":
        place[key], _ = value, place[key]


def _name_image(place: Any, image: Document) -> None:
    """Everywhere a container names it."""
    if isinstance(place, list):
        for each in place:
            _name_image(each, image)
    elif isinstance(place, dict):
        for container in [*(place.get("containers") or []), *(place.get("initContainers") or [])]:
            if isinstance(container, dict) and container.get("image", "").partition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
        for each in place.values():
            _name_image(each, image)
