"""The catalogue's categories, pages and batches as customers and other services see them."""

from __future__ import annotations

from typing import Any

import pytest

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2_grpc
from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.catalog.v1.catalog_pb2 import Product
from bazaar.type.v1.money_pb2 import Money
from tests.flow.products import a_product, created, new_id, set_price
from tests.serving import Client, refused
from tests.shop import Shop


@pytest.fixture
def inside(shop: Shop) -> Client:
    """The catalogue as pricing sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, caller="pricing")


@pytest.fixture
async def shelf(staff: Client) -> str:
    """A category of its own with products p0 to p4, p4 a draft; p3 in a category below."""
    root = new_id("root")
    paths = [(root,), (root,), (root,), (root, "Deep"), (root,)]
    products = [a_product(f"{root}-p{place}", path=path) for place, path in enumerate(paths)]
    products[4].state = Product.DRAFT
    await staff.ImportProducts(pb.ImportProductsRequest(products=products))
    return root


async def listed(client: Client, category: str, **fields: Any) -> list[str]:
    answer = await client.ListProducts(pb.ListProductsRequest(category=category, **fields))
    return [product.product_id.rpartition("-")[2] for product in answer.products]


async def test_a_category_lists_what_is_on_sale_in_it_and_below_by_id(public: Client, staff: Client, shelf: str) -> None:
    assert await listed(public, shelf) == ["p0", "p1", "p2", "p3"]
    assert await listed(public, f"{shelf}.deep") == ["p3"]
    assert await listed(staff, shelf) == ["p0", "p1", "p2", "p3", "p4"]


async def test_tokens_lead_through_all_pages(public: Client, shelf: str) -> None:
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        answer = await public.ListProducts(pb.ListProductsRequest(category=shelf, page_size=2, page_token=token))
        pages.append([product.product_id[-2:] for product in answer.products])
        token = answer.next_page_token

    assert pages == [["p0", "p1"], ["p2", "p3"]]


async def test_a_token_of_another_query_is_refused(public: Client, staff: Client, shelf: str) -> None:
    token = (await public.ListProducts(pb.ListProductsRequest(category=shelf, page_size=1))).next_page_token

    for client, category in ((public, f"{shelf}.deep"), (staff, shelf)):
        code, reason, _ = await refused(client.ListProducts(pb.ListProductsRequest(category=category, page_token=token)))
        assert (code, reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_pages_by_number_reach_the_first_10000_results(public: Client, shelf: str) -> None:
    assert await listed(public, shelf, page=2, page_size=3) == ["p3"]
    assert await listed(public, shelf, page=100, page_size=100) == []
    assert await refused(public.ListProducts(pb.ListProductsRequest(category=shelf, page=101, page_size=100))) == (
        "INVALID_ARGUMENT",
        "PAGE_OUT_OF_RANGE",
        {"page": "101"},
    )


async def test_a_page_is_asked_for_by_number_or_by_token(public: Client, shelf: str) -> None:
    code, reason, _ = await refused(public.ListProducts(pb.ListProductsRequest(category=shelf, page=1, page_token="x")))

    assert (code, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_read_mask_leaves_the_rest_out(shop: Shop, public: Client, shelf: str) -> None:
    await set_price(shop, f"{shelf}-p0", ("INR", 100))

    answer = await public.ListProducts(pb.ListProductsRequest(category=shelf, page_size=1, read_mask={"paths": ["title", "price"]}))

    assert list(answer.products) == [Product(title="TV", price=Money(currency_code="INR", minor_units=100))]


async def test_a_read_mask_names_fields_that_exist(public: Client, shelf: str) -> None:
    code, reason, _ = await refused(public.ListProducts(pb.ListProductsRequest(category=shelf, read_mask={"paths": ["nope"]})))

    assert (code, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_page_of_large_products_is_cut_and_goes_on(public: Client, staff: Client) -> None:
    root = new_id("root")
    for place in range(5):
        await created(staff, a_product(f"{root}-p{place}", path=(root,), attributes={"manual": "x" * 1_000_000}))

    first = await public.ListProducts(pb.ListProductsRequest(category=root))
    rest = await public.ListProducts(pb.ListProductsRequest(category=root, page_token=first.next_page_token))

    assert (len(first.products), len(rest.products), rest.next_page_token) == (3, 2, "")


async def test_an_unknown_category_is_not_found(public: Client) -> None:
    missing = ("NOT_FOUND", "CATEGORY_NOT_FOUND", {"category_id": "no.where"})

    assert await refused(public.ListProducts(pb.ListProductsRequest(category="no.where"))) == missing
    assert await refused(public.GetCategory(pb.GetCategoryRequest(category_id="no.where"))) == missing
    assert await refused(public.ListCategories(pb.ListCategoriesRequest(parent_category_id="no.where"))) == missing


async def test_categories_form_a_tree(public: Client, shelf: str) -> None:
    below = await public.ListCategories(pb.ListCategoriesRequest(parent_category_id=shelf))

    deep = catalog_pb2.Category(category_id=f"{shelf}.deep", title="Deep", parent_category_id=shelf, path=[shelf, "Deep"])
    assert list(below.categories) == [deep]
    assert (await public.GetCategory(pb.GetCategoryRequest(category_id=deep.category_id))).category == deep


async def test_the_whole_tree_is_listed_page_by_page(public: Client, shelf: str) -> None:
    found: list[str] = []
    token = ""
    while not found or token:
        answer = await public.ListCategories(pb.ListCategoriesRequest(all=True, page_size=3, page_token=token))
        found += [category.category_id for category in answer.categories]
        token = answer.next_page_token

    assert found == sorted(found)
    assert {shelf, f"{shelf}.deep"} <= set(found)


async def test_services_get_products_by_id_and_by_sku_in_any_state(inside: Client, shelf: str) -> None:
    ids, skus = [f"{shelf}-p0", "nope"], [f"{shelf}-p0", f"{shelf}-p4", "nope"]

    answer = await inside.BatchGetProducts(
        pb.BatchGetProductsRequest(product_ids=ids, skus=skus, read_mask={"paths": ["product_id", "state"]})
    )

    assert sorted(answer.products, key=lambda product: product.product_id) == [
        Product(product_id=f"{shelf}-p0", state=Product.ACTIVE),
        Product(product_id=f"{shelf}-p4", state=Product.DRAFT),
    ]
