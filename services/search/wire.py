"""Search between its protos and the model, and the catalogue's products as search takes them over."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from bazaar.catalog.v1 import catalog_pb2
from bazaar.search.v1 import search_pb2, search_service_pb2
from bazaar.type.v1 import money_pb2
from services.kit.paging import REACHABLE_BY_PAGE, PageTokens, skipped_before
from services.search.documents import MOST_DESCRIPTION, Summary
from services.search.model import DEFAULT_PAGE_SIZE, Filters, Query, QueryMalformed, Slice, Sort, asked_words, checked, minor_units
from services.search.store import ProductTold

if TYPE_CHECKING:
    from services.search.index import Facets, Found

_HUNDREDTHS = 100
_MOST_STARS = 5
_WHERE = ("page_size", "page_token", "page", "facets", "price_step")
"""Fields of a request that say which part of the results, and what else about them: a page token is good for any of these."""

_Request = search_service_pb2.SearchProductsRequest
_Response = search_service_pb2.SearchProductsResponse


def query_of(request: _Request, currency: str, pages: PageTokens) -> Query:
    """What a request asks for.

    Raises:
        QueryMalformed: its parts contradict each other.
        PageTokenInvalid: the token is of another question.
        PageOutOfRange: see `skipped_before`.
    """
    filters = Filters(
        category=request.category,
        brands=tuple(request.brand),
        price_min=minor_units("price_min", request.price_min, currency),
        price_max=minor_units("price_max", request.price_max, currency),
        rating_min=round(request.rating * _HUNDREDTHS),
        in_stock=request.in_stock,
    )
    query = Query(
        words=asked_words(request.q),
        filters=filters,
        sort=Sort(request.sort or "relevance"),
        slice=_slice(request, pages),
        has_facets=request.facets,
        price_step=minor_units("price_step", request.price_step, currency) or 0,
    )
    return checked(query)


def question(request: _Request) -> str:
    """All of a request that decides what is listed and in which order."""
    asked = _Request()
    asked.CopyFrom(request)
    for name in _WHERE:
        asked.ClearField(name)
    return f"search.SearchProducts {asked.SerializeToString(deterministic=True).hex()}"


def response(found: Found, currency: str, *, is_fuzzy: bool, next_page_token: str) -> _Response:
    """An answer from the index."""
    return _Response(
        products=[_product(hit.product, currency) for hit in found.hits],
        next_page_token=next_page_token,
        total_size=found.total,
        source=_Response.INDEX,
        facets=_facets(found.facets, currency) if found.facets else None,
        is_fuzzy=is_fuzzy,
    )


def listed(product: catalog_pb2.Product) -> search_pb2.FoundProduct:
    """A product of the catalogue's listing, where it stands in for the index."""
    return search_pb2.FoundProduct(
        product_id=product.product_id,
        title=product.title,
        brand=product.brand,
        category_id=product.category_id,
        image_url=product.image_urls[0] if product.image_urls else "",
        price=product.price if product.HasField("price") else None,
    )


def product_told(product: catalog_pb2.Product, version: int) -> ProductTold:
    """A product as the catalogue tells of it."""
    return ProductTold(
        product_id=product.product_id,
        version=version,
        is_shown=product.state == catalog_pb2.Product.ACTIVE,
        title=product.title,
        brand=product.brand,
        description=product.description[:MOST_DESCRIPTION],
        category_path=list(product.category_path),
        category_id=product.category_id,
        image_url=product.image_urls[0] if product.image_urls else "",
        rating=_rating(product),
        skus=[variant.sku for variant in product.variants],
        created_at=product.create_time.ToDatetime(UTC) if product.HasField("create_time") else None,
    )


def _slice(request: _Request, pages: PageTokens) -> Slice:
    size = request.page_size or DEFAULT_PAGE_SIZE
    if request.page and request.page_token:
        raise QueryMalformed("page", "give either page or page_token")
    if request.page:
        return Slice(size, skipped_before(request.page, size))
    skip, *after = (int(part) for part in pages.decode(question(request), request.page_token) or [0])
    return Slice(min(size, REACHABLE_BY_PAGE - skip), skip, (after[0], after[1]) if after else None)


def _rating(product: catalog_pb2.Product) -> int:
    """Of the attribute `rating`, if that is a number of stars."""
    value = product.attributes.fields.get("rating")
    stars = value.number_value if value and value.WhichOneof("kind") == "number_value" else 0.0
    return round(stars * _HUNDREDTHS) if 0 <= stars <= _MOST_STARS else 0


def _product(product: Summary, currency: str) -> search_pb2.FoundProduct:
    return search_pb2.FoundProduct(
        product_id=product.product_id,
        title=product.title,
        brand=product.brand,
        category_id=product.category_id,
        image_url=product.image_url,
        price=None if product.price is None else _money(currency, product.price),
        in_stock=product.in_stock,
        rating=product.rating / _HUNDREDTHS if product.rating else None,
    )


def _facets(facets: Facets, currency: str) -> search_pb2.SearchFacets:
    told = search_pb2.SearchFacets(in_stock_count=facets.in_stock, out_of_stock_count=facets.out_of_stock)
    for category_id, count in facets.categories.items():
        told.categories.add(category_id=category_id, count=count)
    for brand, count in facets.brands.items():
        told.brands.add(brand=brand, count=count)
    for low, count in facets.prices.items():
        told.prices.add(low=_money(currency, low), high=_money(currency, low + facets.price_step), count=count)
    for stars, count in facets.ratings.items():
        told.ratings.add(at_least=stars, count=count)
    return told


def _money(currency: str, minor_units: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)
