"""The page for developers, as a browser that reaches nobody but the edge shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Tab, opened_tab
from tests.flow.edge.client import Edge

pytestmark = pytest.mark.edge
VERBS = {"get", "put", "post", "patch", "delete"}
CATEGORIES = "document.querySelector('.opblock:has([data-path=\"/categories\"])')"


@pytest.fixture(scope="module")
def tab(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The page, with every section open."""
    folder: Path = tmp_path_factory.mktemp("browser")
    with opened_tab(folder) as tab:
        tab.open(f"{edge.running.url}/docs")
        tab.wait_for("document.querySelectorAll('.opblock-tag').length")
        tab.run("document.querySelectorAll('.opblock-tag[data-is-open=false]').forEach(section => section.click())")
        yield tab


def test_the_page_shows_every_operation(tab: Tab, edge: Edge):
    paths = edge.http.get("/openapi.json").json()["paths"]
    wanted = {f"{verb.upper()} {path}" for path, operations in paths.items() for verb in VERBS & operations.keys()}
    name = "block.querySelector('.opblock-summary-method').textContent + ' ' + block.querySelector('[data-path]').dataset.path"
    tab.wait_for(f"document.querySelectorAll('.opblock').length == {len(wanted)}")

    assert set(tab.run(f"[...document.querySelectorAll('.opblock')].map(block => {name})")) == wanted


def test_a_call_that_is_tried_out_shows_its_answer(tab: Tab, edge: Edge):
    tab.wait_for(f"{CATEGORIES} != null")
    tab.run(f"{CATEGORIES}.querySelector('.opblock-summary-control').click()")
    tab.wait_for(f"{CATEGORIES}.querySelector('.execute') != null")
    tab.run(f"{CATEGORIES}.querySelector('.execute').click()")
    answer = f"{CATEGORIES}.querySelector('.live-responses-table')"
    tab.wait_for(f"{answer} != null")

    assert tab.run(f"{answer}.querySelector('tbody .response-col_status').firstChild.textContent") == "200"
    shown = json.loads(tab.run(f"{answer}.querySelector('.highlight-code code').textContent"))
    assert shown.keys() == edge.ok("GET", "/v1/categories").keys()


def test_the_page_asks_nobody_but_the_edge(tab: Tab, edge: Edge):
    tab.wait_for("document.querySelectorAll('.opblock').length")

    assert {f"{edge.running.url}{path}" for path in ("/docs", "/docs/swagger-ui-bundle.js", "/openapi.json")} <= set(tab.requested)
    assert [url for url in tab.requested if not url.startswith((f"{edge.running.url}/", "data:"))] == []
