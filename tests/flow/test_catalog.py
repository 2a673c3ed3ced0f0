"""The catalogue as staff, customers and other services see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2_grpc
from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.catalog.v1.catalog_pb2 import Product, Variant
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1.money_pb2 import Money
from services.catalog import SERVICE
from services.kit.ids import uuid7
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from tests.shop import ADMIN, Shop, settings_for
from tests.unit.serving import Client, refused, user

SUPPORT = user(uuid7(), "support")
CUSTOMER = user(uuid7())


def new_id(prefix: str = "p") -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


def a_product(product_id: str = "", *skus: str, path: tuple[str, ...] = ("Toys", "Screens"), **fields: Any) -> Product:
    variants = [Variant(sku=sku) for sku in skus]
    return Product(product_id=product_id, category_path=path, variants=variants, **{"title": "TV", **fields})


@pytest.fixture
def public(shop: Shop) -> Client:
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub)


@pytest.fixture
def staff(shop: Shop) -> Client:
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)


@pytest.fixture
def inside(shop: Shop) -> Client:
    """The catalogue as pricing sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, caller="pricing")


async def created(staff: Client, product: Product) -> Product:
    return (await staff.CreateProduct(pb.CreateProductRequest(product=product))).product


async def set_price(shop: Shop, sku: str, *amounts: tuple[str, int]) -> None:
    prices = [pricing_pb2.Price(sku=sku, amount=Money(currency_code=currency, minor_units=units)) for currency, units in amounts]
    pricing = shop.stub(pricing_service_pb2_grpc.PricingServiceStub, ADMIN)
    await pricing.BatchSetPrices(pricing_service_pb2.BatchSetPricesRequest(prices=prices))


async def test_a_created_product_is_read_back_whole(public: Client, staff: Client) -> None:
    product = a_product(new_id(), new_id("sku"), brand="Sharp", description="Big", image_urls=["https://img.example/1"], seller_id="s1")
    product.attributes.update({"size": {"inch": 55}, "ports": ["hdmi", None, True], "$odd.name": 1.5})
    product.variants[0].attributes.update({"colour": "red"})

    stored = await created(staff, product)

    assert (await public.GetProduct(pb.GetProductRequest(product_id=product.product_id))).product == stored
    product.state, product.tax_class, product.category_id, product.etag = Product.ACTIVE, "standard", "toys.screens", "1"
    product.create_time.CopyFrom(stored.create_time)
    product.update_time.CopyFrom(stored.update_time)
    assert stored == product


async def test_a_product_without_id_or_variants_gets_a_uuid_which_is_its_sku(staff: Client) -> None:
    product = await created(staff, a_product())

    assert product.product_id[14] == "7"
    assert [variant.sku for variant in product.variants] == [product.product_id]


async def test_a_product_of_1_mb_passes_every_hop(public: Client, staff: Client) -> None:
    product = a_product(new_id())
    product.attributes.update({"manual": "x" * 1_000_000})

    await created(staff, product)

    read = (await public.GetProduct(pb.GetProductRequest(product_id=product.product_id))).product
    assert len(read.attributes["manual"]) == 1_000_000


@pytest.mark.parametrize("state", [Product.DRAFT, Product.ARCHIVED])
async def test_what_is_not_on_sale_is_seen_by_staff_alone(shop: Shop, public: Client, staff: Client, state: Any) -> None:
    product = await created(staff, a_product(new_id(), state=state))
    ask = pb.GetProductRequest(product_id=product.product_id)
    missing = ("NOT_FOUND", "PRODUCT_NOT_FOUND", {"product_id": product.product_id})

    assert await refused(public.GetProduct(ask)) == missing
    assert await refused(shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, CUSTOMER).GetProduct(ask)) == missing
    assert await refused(public.ListVariants(pb.ListVariantsRequest(product_id=product.product_id))) == missing
    assert (await shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, SUPPORT).GetProduct(ask)).product.state == state


async def test_an_unknown_product_looks_like_one_that_is_not_on_sale(public: Client) -> None:
    assert await refused(public.GetProduct(pb.GetProductRequest(product_id="nope"))) == (
        "NOT_FOUND",
        "PRODUCT_NOT_FOUND",
        {"product_id": "nope"},
    )


async def test_a_customer_can_not_create(shop: Shop, public: Client) -> None:
    customer = shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, CUSTOMER)
    product = a_product(new_id())

    code, reason, _ = await refused(customer.CreateProduct(pb.CreateProductRequest(product=product)))

    assert (code, reason) == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
    assert (await refused(public.GetProduct(pb.GetProductRequest(product_id=product.product_id))))[1] == "PRODUCT_NOT_FOUND"


async def test_prices_are_shown_in_the_first_or_in_the_wanted_currency(shop: Shop, public: Client, staff: Client) -> None:
    first, second = new_id("sku"), new_id("sku")
    product = await created(staff, a_product(new_id(), first, second))
    await set_price(shop, first, ("INR", 100), ("USD", 2))
    await set_price(shop, second, ("USD", 3))

    usual = (await public.GetProduct(pb.GetProductRequest(product_id=product.product_id))).product
    dollars = (await public.GetProduct(pb.GetProductRequest(product_id=product.product_id, currency="USD"))).product
    variants = (await public.ListVariants(pb.ListVariantsRequest(product_id=product.product_id, currency="INR"))).variants

    assert (usual.price.currency_code, usual.price.minor_units) == ("INR", 100)
    assert [variant.price.minor_units for variant in usual.variants] == [100, 3]
    assert [variant.price.minor_units for variant in dollars.variants] == [2, 3]
    assert [variant.HasField("price") for variant in variants] == [True, False]


async def test_an_unknown_currency_is_refused(public: Client, staff: Client) -> None:
    product = await created(staff, a_product(new_id()))

    code, reason, _ = await refused(public.GetProduct(pb.GetProductRequest(product_id=product.product_id, currency="XXY")))

    assert (code, reason) == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN")


@pytest.fixture
async def alone(shop: Shop, short_directory: Path) -> AsyncIterator[Client]:
    """The catalogue in a process from which pricing can't be reached."""
    settings = settings_for(shop.settings.secrets, short_directory, shop.servers, "", shop.settings.mongo_url, "alone")
    settings = settings.model_copy(update={"addresses": {"pricing": f"unix:{short_directory}/nobody.sock"}})
    runtime = Runtime([SERVICE], settings)
    await runtime.start()
    channel = socket_channel(settings.listen)
    yield Client(catalog_service_pb2_grpc.CatalogServiceStub(channel))
    await channel.close()
    await runtime.stop()


async def test_products_are_shown_without_prices_while_pricing_is_down(shop: Shop, alone: Client) -> None:
    sku = await shop.stocked(path=(new_id("Root"),))

    product = (await alone.GetProduct(pb.GetProductRequest(product_id=sku))).product

    assert (product.product_id, product.HasField("price"), product.variants[0].HasField("price")) == (sku, False, False)


async def test_a_taken_id_or_sku_is_refused(staff: Client, public: Client) -> None:
    product = await created(staff, a_product(new_id(), new_id("sku")))
    same_sku = a_product(new_id(), product.variants[0].sku)

    again = await refused(staff.CreateProduct(pb.CreateProductRequest(product=a_product(product.product_id, new_id()))))
    other = await refused(staff.CreateProduct(pb.CreateProductRequest(product=same_sku)))

    assert again == ("ALREADY_EXISTS", "PRODUCT_EXISTS", {"product_id": product.product_id})
    assert other == ("ALREADY_EXISTS", "PRODUCT_EXISTS", {"product_id": same_sku.product_id})
    assert (await refused(public.GetProduct(pb.GetProductRequest(product_id=same_sku.product_id))))[1] == "PRODUCT_NOT_FOUND"


async def test_a_repeated_request_creates_one_product(staff: Client) -> None:
    request = pb.CreateProductRequest(product=a_product(), request_id=uuid4().hex)

    first, second = await staff.CreateProduct(request), await staff.CreateProduct(request)

    assert first == second


async def test_a_request_id_is_not_used_for_two_products(staff: Client) -> None:
    request_id = uuid4().hex
    await staff.CreateProduct(pb.CreateProductRequest(product=a_product(), request_id=request_id))

    code, reason, _ = await refused(staff.CreateProduct(pb.CreateProductRequest(product=a_product(title="Radio"), request_id=request_id)))

    assert (code, reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("product", "reason"),
    [
        (Product(category_path=["Toys"]), "VALIDATION_FAILED"),
        (Product(title="TV"), "VALIDATION_FAILED"),
        (a_product("no spaces"), "VALIDATION_FAILED"),
        (a_product("", "a", "a"), "VALIDATION_FAILED"),
        (a_product(path=("***",)), "CATEGORY_PATH_INVALID"),
    ],
)
async def test_a_product_that_breaks_a_rule_is_refused(staff: Client, product: Product, reason: str) -> None:
    code, found, _ = await refused(staff.CreateProduct(pb.CreateProductRequest(product=product)))

    assert (code, found) == ("INVALID_ARGUMENT", reason)


async def test_an_attribute_that_json_can_not_say_is_refused(staff: Client) -> None:
    product = a_product()
    product.attributes["size"] = float("inf")

    code, reason, _ = await refused(staff.CreateProduct(pb.CreateProductRequest(product=product)))

    assert (code, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_one_field_is_changed_without_the_others(staff: Client) -> None:
    product = await created(staff, a_product(new_id(), brand="Sharp"))

    request = pb.UpdateProductRequest(product=Product(product_id=product.product_id, title="Radio"), update_mask=FieldMask(paths=["title"]))
    changed = (await staff.UpdateProduct(request)).product

    assert (changed.title, changed.brand, changed.etag) == ("Radio", "Sharp", "2")


async def test_a_change_on_a_stale_etag_is_refused_and_changes_nothing(staff: Client) -> None:
    product = await created(staff, a_product(new_id()))
    await staff.UpdateProduct(
        pb.UpdateProductRequest(product=Product(product_id=product.product_id, brand="B"), update_mask={"paths": ["brand"]})
    )

    stale = Product(product_id=product.product_id, title="Radio", etag=product.etag)
    code, reason, _ = await refused(staff.UpdateProduct(pb.UpdateProductRequest(product=stale, update_mask={"paths": ["title"]})))

    assert (code, reason) == ("ABORTED", "ETAG_MISMATCH")
    assert (await staff.GetProduct(pb.GetProductRequest(product_id=product.product_id))).product.title == "TV"


async def test_a_change_must_leave_a_valid_product(staff: Client) -> None:
    product = await created(staff, a_product(new_id()))

    request = pb.UpdateProductRequest(product=Product(product_id=product.product_id), update_mask={"paths": ["title"]})
    code, reason, _ = await refused(staff.UpdateProduct(request))

    assert (code, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


@pytest.mark.parametrize("product", [None, Product(title="TV")])
async def test_a_change_names_its_product(staff: Client, product: Product | None) -> None:
    code, reason, _ = await refused(staff.UpdateProduct(pb.UpdateProductRequest(product=product)))

    assert (code, reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_change_of_nothing_is_not_found(staff: Client) -> None:
    code, reason, _ = await refused(staff.UpdateProduct(pb.UpdateProductRequest(product=a_product("nope"))))

    assert (code, reason) == ("NOT_FOUND", "PRODUCT_NOT_FOUND")


async def test_in_an_import_each_product_stands_or_falls_alone(staff: Client) -> None:
    taken = await created(staff, a_product(new_id()))
    good, replaced = a_product(new_id()), a_product(taken.product_id, title="Radio")
    products = [
        good,
        Product(product_id="bad id"),
        replaced,
        a_product(new_id("thief"), good.product_id),
        a_product("x", path=("-",)),
        good,
    ]

    answer = await staff.ImportProducts(pb.ImportProductsRequest(products=products))

    assert (answer.created_count, answer.updated_count) == (1, 2)
    assert [(refused.index, refused.product_id, refused.reason) for refused in answer.refusals] == [
        (1, "bad id", "VALIDATION_FAILED"),
        (3, products[3].product_id, "PRODUCT_EXISTS"),
        (4, "x", "CATEGORY_PATH_INVALID"),
    ]
    assert (await staff.GetProduct(pb.GetProductRequest(product_id=taken.product_id))).product.title == "Radio"


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
