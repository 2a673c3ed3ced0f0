"""The paths of search: one test each, and what the spelling of its parameters may be."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.flow.edge.client import Edge, refusal, usd
from tests.flow.edge.conftest import LAMP, TV
from tests.flow.edge.paths import path

pytestmark = pytest.mark.edge


def found(edge: Edge, target: str, *wanted: str) -> httpx.Response:
    """Waits until just these products are found; the answer."""
    give_up = time.monotonic() + 20
    while True:
        answer = edge.call("GET", target)
        ids = [product["productId"] for product in answer.json().get("products", [])]
        if ids == list(wanted) or time.monotonic() > give_up:
            assert (answer.status_code, ids) == (200, list(wanted)), answer.text
            return answer
        time.sleep(0.5)


@path("GET", "/search")
def test_search_as_clients_spell_it(edge: Edge, at: str):
    answer = found(edge, f"{at}/search?q=television&price_min=10&price_max=19.99&rating=0&category=edge-tests", TV).json()

    [product] = answer["products"]
    assert (answer["source"], answer["totalSize"], product["title"], product["price"]) == ("INDEX", "1", "Television", usd(1999))


def test_search_sorts_counts_and_turns_pages(edge: Edge):
    target = "/v1/search?category=edge-tests&sort=newest&brand=Acme&in_stock=true&facets=true&price_step=10"
    facets = found(edge, target, TV).json()["facets"]

    assert facets["categories"] == [{"categoryId": "edge-tests.screens", "count": "1"}]
    assert facets["prices"] == [{"low": usd(1000), "high": usd(2000), "count": "1"}]
    found(edge, "/v1/search?q=lamp&category=edge-tests&page=1&pageSize=1", LAMP)
    found(edge, "/v1/search?q=lamp&category=edge-tests&page=2&pageSize=1")


def test_search_forgives_a_typo(edge: Edge):
    assert found(edge, "/v1/search?q=televison&category=edge-tests", TV).json()["isFuzzy"] is True


def test_the_edge_keeps_an_answer_for_seconds(edge: Edge):
    found(edge, "/v1/search?q=lamp&category=edge-tests", LAMP)

    assert edge.call("GET", "/v1/search?q=lamp&category=edge-tests").headers["cache-control"] == "public, max-age=5"


@pytest.mark.parametrize(
    "query", ["price_min=5&price_max=4", "price_min=cheap", "rating=6", "sort=beauty", "page=501", "page_token=mine", "colour=red"]
)
def test_search_says_what_makes_no_sense(edge: Edge, query: str):
    assert edge.call("GET", f"/v1/search?{query}").status_code == 400


@path("POST", "/search:rebuild")
def test_rebuild_the_index(edge: Edge, at: str):
    before = int(edge.ok("POST", f"{at}/search:rebuild", {}, user=edge.admin)["generation"])

    assert int(edge.ok("POST", f"{at}/search:rebuild", {}, user=edge.admin)["generation"]) == before + 1


@path("POST", "/search:rollback")
def test_roll_the_index_back(edge: Edge, at: str):
    rebuilt = int(edge.ok("POST", f"{at}/search:rebuild", {}, user=edge.admin)["generation"])

    assert int(edge.ok("POST", f"{at}/search:rollback", {}, user=edge.admin)["generation"]) < rebuilt


def test_customers_rebuild_nothing(edge: Edge):
    assert refusal(edge.call("POST", "/v1/search:rebuild", {}, user=edge.customer())) == (403, "METHOD_NOT_GRANTED")
