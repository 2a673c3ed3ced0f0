"""The catalogue's products as staff and customers see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.catalog.v1 import catalog_service_pb2_grpc
from bazaar.catalog.v1.catalog_pb2 import Product
from services.catalog import SERVICE
from services.kit.ids import uuid7
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from tests.flow.products import a_product, created, new_id, set_price
from tests.serving import Client, refused, user
from tests.shop import Shop, settings_for

SUPPORT = user(uuid7(), "support")
CUSTOMER = user(uuid7())


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
