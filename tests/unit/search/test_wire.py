"""What a request asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bazaar.catalog.v1.catalog_pb2 import Product, Variant
from bazaar.search.v1.search_service_pb2 import SearchProductsRequest
from services.kit.paging import PageOutOfRange, PageTokenInvalid, PageTokens
from services.kit.secrets import Secrets
from services.search import wire
from services.search.model import Filters, Query, QueryMalformed, Slice, Sort
from tools.secrets import make_missing


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> PageTokens:
    folder: Path = tmp_path_factory.mktemp("secrets")
    make_missing(folder)
    return PageTokens(Secrets(folder))


def test_a_request_is_read_whole(pages: PageTokens) -> None:
    request = SearchProductsRequest(
        q="Green tea",
        category="grocery",
        brand=["Acme"],
        price_min="1.5",
        price_max="20",
        rating=4.25,
        in_stock=True,
        sort="price_desc",
        page_size=5,
        page=3,
        facets=True,
        price_step="2.50",
    )

    assert wire.query_of(request, "USD", pages) == Query(
        words=("green", "tea"),
        filters=Filters("grocery", ("Acme",), 150, 2000, 425, in_stock=True),
        sort=Sort.PRICE_DESC,
        slice=Slice(5, 10),
        has_facets=True,
        price_step=250,
    )


def test_an_empty_request_asks_for_what_is_popular(pages: PageTokens) -> None:
    query = wire.query_of(SearchProductsRequest(), "USD", pages)

    assert (query, query.sorted_by) == (Query(), Sort.POPULARITY)


def token(pages: PageTokens, request: SearchProductsRequest, *position: int) -> str:
    return pages.encode(wire.question(request), position)


def test_a_token_goes_on_after_the_last_result_whatever_the_page_s_size(pages: PageTokens) -> None:
    request = SearchProductsRequest(q="tea")
    request.page_token = token(pages, request, 40, 6, 2**61)
    request.page_size, request.facets = 7, True

    assert wire.query_of(request, "USD", pages).slice == Slice(7, 40, (6, 2**61))


def test_a_token_of_a_listing_knows_no_position(pages: PageTokens) -> None:
    request = SearchProductsRequest(q="tea")
    request.page_token = token(pages, request, 40)

    assert wire.query_of(request, "USD", pages).slice == Slice(20, 40)


def test_a_token_reaches_the_10_000th_result_and_no_further(pages: PageTokens) -> None:
    request = SearchProductsRequest(page_size=30)
    request.page_token = token(pages, request, 9990, 1, 1)

    assert wire.query_of(request, "USD", pages).slice == Slice(10, 9990, (1, 1))


def test_a_page_by_number_reaches_no_further_either(pages: PageTokens) -> None:
    with pytest.raises(PageOutOfRange):
        wire.query_of(SearchProductsRequest(page=334, page_size=30), "USD", pages)


def test_a_token_is_good_for_its_own_question(pages: PageTokens) -> None:
    request = SearchProductsRequest(q="tea")
    other = SearchProductsRequest(q="coffee", page_token=token(pages, request, 20, 1, 1))

    with pytest.raises(PageTokenInvalid):
        wire.query_of(other, "USD", pages)


def test_a_number_and_a_token_are_one_too_many(pages: PageTokens) -> None:
    request = SearchProductsRequest(page=2)
    request.page_token = token(pages, SearchProductsRequest(), 20, 1, 1)

    with pytest.raises(QueryMalformed):
        wire.query_of(request, "USD", pages)


@pytest.mark.parametrize(
    ("rating", "told"),
    [(4.5, 450), (0, 0), (5, 500), (5.1, 0), (-1, 0), ("4.5", 0), (True, 0), (float("inf"), 0)],
)
def test_a_rating_is_a_number_of_stars(rating: Any, told: int) -> None:
    product = Product(product_id="tv", variants=[Variant(sku="tv")])
    product.attributes.update({"rating": rating})

    assert wire.product_told(product, 1).rating == told


@pytest.mark.parametrize(("state", "is_shown"), [(Product.ACTIVE, True), (Product.DRAFT, False), (Product.ARCHIVED, False)])
def test_only_what_is_on_sale_is_shown(state: Product.State.ValueType, *, is_shown: bool) -> None:
    assert wire.product_told(Product(state=state), 1).is_shown is is_shown
