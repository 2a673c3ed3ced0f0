"""How a test says which path of the edge it is about."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flow.edge.client import Edge

PREFIXES = ("/v1", "/api")
_numbers = itertools.count(1)


def path(verb: str, template: str) -> Callable[[Any], Any]:
    """Runs a test of a path under both prefixes, as `at`. Its place in the source is what `covered` finds."""
    assert template.startswith("/"), (verb, template)
    return pytest.mark.parametrize("at", PREFIXES)


def covered() -> set[tuple[str, str]]:
    """The paths that some test beside this file is about."""
    sources = "".join(file.read_text() for file in Path(__file__).parent.glob("test_paths*.py"))
    return {(verb, f"/v1{template}") for verb, template in re.findall(r'^@path\("(\w+)", "([^"]+)"\)', sources, re.MULTILINE)}


def made(edge: Edge) -> str:
    """A product to be changed; its id is its only SKU."""
    name = f"edge-made-{next(_numbers)}"
    edge.ok("POST", "/v1/products", {"productId": name, "title": "Made", "categoryPath": ["Edge made"]}, user=edge.admin)
    return name
