"""Search over the whole shop: what the catalogue, prices and stock tell is found; and what there is while the index is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.catalog.v1.catalog_pb2 import Product
from bazaar.inventory.v1 import inventory_service_pb2
from bazaar.search.v1 import search_service_pb2 as pb
from bazaar.search.v1 import search_service_pb2_grpc
from services.__main__ import find_services
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from tests.flow.products import a_product, created, new_id, set_price
from tests.serving import Client, refused
from tests.shop import ADMIN, Shop, category_of, eventually


@pytest.fixture
def search(shop: Shop) -> Client:
    return shop.stub(search_service_pb2_grpc.SearchServiceStub)


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.stub(search_service_pb2_grpc.SearchServiceStub, ADMIN)


class Shelf:
    """A root category of a test's own, and how it is searched."""

    def __init__(self, shop: Shop, search: Client) -> None:
        self.shop = shop
        self.search = search
        self.path = (new_id("Shelf"), "Goods")
        self.category = category_of(self.path)

    async def put(self, title: str, *skus: str, price: int = 1000, units: int = 5, **fields: Any) -> str:
        product = a_product(new_id(), *skus, path=self.path, title=title, **fields)
        await created(self.shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN), product)
        if not skus:
            await set_price(self.shop, product.product_id, ("USD", price))
        if units:
            await self.shop.receive(product.product_id, units)
        return product.product_id

    async def ask(self, **fields: Any) -> pb.SearchProductsResponse:
        return await self.search.SearchProducts(pb.SearchProductsRequest(**{"category": self.category, **fields}))

    async def titles(self, **fields: Any) -> list[str]:
        return [product.title for product in (await self.ask(**fields)).products]

    async def shows(self, *titles: str, **fields: Any) -> None:
        """Waits until just these are found, in this order."""
        await eventually(lambda: self.titles(**fields), list(titles))


@pytest.fixture
async def shelf(shop: Shop, search: Client) -> Shelf:
    return Shelf(shop, search)


async def test_a_new_product_is_found_within_seconds_with_its_price_and_stock(shelf: Shelf) -> None:
    name = await shelf.put("Green kettle", price=2599, brand="Acme", image_urls=["https://img.example/1"])
    await shelf.shows("Green kettle", q="kettle acme", in_stock=True, price_min="25.99", price_max="25.99")

    [product] = (await shelf.ask(q="kettle")).products

    assert (product.product_id, product.brand, product.category_id, product.image_url) == (
        name,
        "Acme",
        shelf.category,
        "https://img.example/1",
    )
    assert (product.price.currency_code, product.price.minor_units, product.in_stock) == ("USD", 2599, True)
    assert not product.HasField("rating")


async def test_it_is_answered_from_the_index(shelf: Shelf) -> None:
    await shelf.put("Lamp")
    await shelf.shows("Lamp")

    answer = await shelf.ask()

    assert (pb.SearchProductsResponse.Source.Name(answer.source), answer.total_size, answer.is_fuzzy) == ("INDEX", 1, False)


async def test_a_typo_finds_what_is_spelt_nearly_so(shelf: Shelf) -> None:
    await shelf.put("Umbrella")
    await shelf.shows("Umbrella", q="umbrella")

    answer = await shelf.ask(q="umbrela")

    assert ([product.title for product in answer.products], answer.is_fuzzy) == (["Umbrella"], True)


async def test_a_changed_title_is_found_and_the_old_one_is_not(shelf: Shelf, staff: Client) -> None:
    name = await shelf.put("Teapot")
    await shelf.shows("Teapot", q="teapot")
    change = catalog_service_pb2.UpdateProductRequest(product=Product(product_id=name, title="Cafetiere"))
    change.update_mask.paths.append("title")
    await staff.UpdateProduct(change)

    await shelf.shows("Cafetiere", q="cafetiere")
    assert await shelf.titles(q="teapot") == []


async def test_what_leaves_the_sale_leaves_the_results(shelf: Shelf, staff: Client) -> None:
    name = await shelf.put("Radio")
    await shelf.shows("Radio")
    change = catalog_service_pb2.UpdateProductRequest(product=Product(product_id=name, state=Product.ARCHIVED))
    change.update_mask.paths.append("state")
    await staff.UpdateProduct(change)

    await shelf.shows()


async def test_a_new_price_moves_a_product(shop: Shop, shelf: Shelf) -> None:
    cheap = await shelf.put("First", price=100)
    await shelf.put("Second", price=200)
    await shelf.shows("First", "Second", sort="price")

    await set_price(shop, cheap, ("USD", 300), ("INR", 1))

    await shelf.shows("Second", "First", sort="price")


async def test_the_last_unit_sold_takes_a_product_out_of_what_is_in_stock(shop: Shop, shelf: Shelf) -> None:
    name = await shelf.put("Last one", units=1)
    await shelf.shows("Last one", in_stock=True)

    await shop.order(await shop.customer(), (name, 1))

    await shelf.shows(in_stock=True)
    assert await shelf.titles() == ["Last one"]


async def test_any_variant_in_stock_will_do_and_the_first_one_s_price_counts(shop: Shop, shelf: Shelf) -> None:
    small, large = new_id("sku"), new_id("sku")
    await shelf.put("Shirt", small, large, units=0)
    await set_price(shop, small, ("USD", 500))
    await set_price(shop, large, ("USD", 900))
    await shop.receive(large, 1)

    await shelf.shows("Shirt", in_stock=True, price_max="5")


async def test_ratings_come_from_the_attribute(shelf: Shelf) -> None:
    rated = a_product(new_id(), path=shelf.path, title="Rated")
    rated.attributes.update({"rating": 4.5})
    odd = a_product(new_id(), path=shelf.path, title="Odd")
    odd.attributes.update({"rating": "five"})
    for product in (rated, odd):
        await created(shelf.shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN), product)
    await shelf.shows("Rated", "Odd", sort="rating")

    assert [await shelf.titles(rating=stars) for stars in (4.5, 4.6)] == [["Rated"], []]
    assert [product.rating for product in (await shelf.ask(sort="rating")).products] == [4.5, 0]


async def test_facets(shelf: Shelf) -> None:
    await shelf.put("One", price=999, brand="Acme")
    await shelf.put("Two", price=1500, brand="Acme", units=0)
    await shelf.shows("One", "Two", sort="price", price_min="9.99")
    await shelf.shows("One", in_stock=True)

    answer = await shelf.ask(category=shelf.category.partition(".")[0], facets=True, price_step="10")
    facets = answer.facets

    assert [(each.category_id, each.count) for each in facets.categories] == [(shelf.category, 2)]
    assert [(each.brand, each.count) for each in facets.brands] == [("Acme", 2)]
    assert [(each.low.minor_units, each.high.minor_units, each.count) for each in facets.prices] == [(0, 1000, 1), (1000, 2000, 1)]
    assert [(each.at_least, each.count) for each in facets.ratings] == [(4, 0), (3, 0), (2, 0), (1, 0)]
    assert (facets.in_stock_count, facets.out_of_stock_count) == (1, 1)


async def test_pages_by_token_and_by_number(shelf: Shelf) -> None:
    for price in (1, 2, 3):
        await shelf.put(f"At {price}", price=price)
    await shelf.shows("At 1", "At 2", "At 3", sort="price", price_min="0")
    first = await shelf.ask(sort="price", page_size=2)

    assert first.total_size == 3
    assert await shelf.titles(sort="price", page_size=2, page_token=first.next_page_token) == ["At 3"]
    assert await shelf.titles(sort="price", page_size=2, page=2) == ["At 3"]
    assert not (await shelf.ask(sort="price", page_size=3)).next_page_token
    code, reason, _ = await refused(shelf.ask(sort="newest", page_size=2, page_token=first.next_page_token))
    assert (code, reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price_min": "2", "price_max": "1"}, "VALIDATION_FAILED"),
        ({"price_min": "1.999"}, "VALIDATION_FAILED"),
        ({"price_min": "ten"}, "VALIDATION_FAILED"),
        ({"price_max": "-1"}, "VALIDATION_FAILED"),
        ({"rating": 5.5}, "VALIDATION_FAILED"),
        ({"rating": float("nan")}, "VALIDATION_FAILED"),
        ({"sort": "beauty"}, "VALIDATION_FAILED"),
        ({"price_step": "5"}, "VALIDATION_FAILED"),
        ({"page": 2, "page_token": "x"}, "VALIDATION_FAILED"),
        ({"page_token": "x"}, "PAGE_TOKEN_INVALID"),
        ({"page": 501}, "PAGE_OUT_OF_RANGE"),
        ({"q": "x" * 201}, "VALIDATION_FAILED"),
    ],
)
async def test_what_makes_no_sense_is_refused(search: Client, fields: dict[str, Any], reason: str) -> None:
    assert (await refused(search.SearchProducts(pb.SearchProductsRequest(**fields))))[:2] == ("INVALID_ARGUMENT", reason)


async def test_what_is_ordered_more_stands_first(shop: Shop, shelf: Shelf, admin: Client) -> None:
    for title in ("Slow", "Fast", "Still"):
        name = await shelf.put(title, units=10)
        if title != "Still":
            await shop.order(await shop.customer(), (name, 1 if title == "Slow" else 5))
    root = shelf.category.partition(".")[0]

    async def ranked() -> int:
        return len(await shop.top(root))

    await eventually(ranked, 2)

    await admin.RebuildIndex(pb.RebuildIndexRequest())

    await shelf.shows("Fast", "Slow", "Still")


async def test_a_rebuilt_index_answers_and_the_way_back_does_too(shop: Shop, shelf: Shelf, admin: Client) -> None:
    await shelf.put("Kept")
    await shelf.shows("Kept")
    before = await wanted(shop)

    rebuilt = (await admin.RebuildIndex(pb.RebuildIndexRequest())).generation
    await eventually(lambda: live(shop), f"v1-{rebuilt}")
    await shelf.shows("Kept")
    back = (await admin.RollBackIndex(pb.RollBackIndexRequest())).generation
    await eventually(lambda: live(shop), f"v1-{back}")

    assert back == before < rebuilt
    await shelf.shows("Kept")


async def wanted(shop: Shop) -> int:
    [(generation,)] = await shop.execute("search", "SELECT wanted FROM generation")
    return generation


async def live(shop: Shop) -> str:
    """The copy that this process's index answers from."""
    return (Path(shop.settings.search_url.removeprefix("file://")) / shop.settings.process / "live").read_text()


async def test_what_was_there_before_search_listened_is_read_from_the_services(shop: Shop, shelf: Shelf, admin: Client) -> None:
    name = await shelf.put("Old stock", price=700)
    await shelf.shows("Old stock", in_stock=True, price_max="7")
    await shop.execute("search", "DELETE FROM products WHERE product_id = %s", name)
    await shop.execute("search", "DELETE FROM offers WHERE sku = %s", name)

    await admin.RebuildIndex(pb.RebuildIndexRequest())

    await shelf.shows("Old stock", in_stock=True, price_max="7")


@pytest.fixture
async def without_index(shop: Shop, short_directory: Path) -> AsyncIterator[Client]:
    """A process whose index is at an address where nobody listens."""
    settings = shop.settings.model_copy(
        update={
            "listen": f"unix:{short_directory}/no-index.sock",
            "process": "no-index",
            "role": "serve",
            "search_url": "http://127.0.0.1:1",
        }
    )
    runtime = Runtime(find_services([]), settings)
    await runtime.start()
    channel = socket_channel(settings.listen)
    yield Client(search_service_pb2_grpc.SearchServiceStub(channel))
    await channel.close()
    await runtime.stop()


def degraded(answer: pb.SearchProductsResponse) -> list[str]:
    assert answer.source == pb.SearchProductsResponse.DEGRADED
    return [product.title for product in answer.products]


async def test_while_the_index_is_away_the_last_page_is_shown(shelf: Shelf, without_index: Client) -> None:
    await shelf.put("Seen before", price=300)
    await shelf.shows("Seen before", q="seen", price_max="3")
    ask = pb.SearchProductsRequest(category=shelf.category, q="seen", price_max="3")

    async def kept() -> list[str]:
        await shelf.search.SearchProducts(ask)  # pages of other tests may have been kept just now, and this one not
        answer = await without_index.SearchProducts(ask)
        return degraded(answer) if answer.total_size else []

    await eventually(kept, ["Seen before"])


async def test_a_page_that_nobody_saw_is_the_category_s_listing(shelf: Shelf, without_index: Client) -> None:
    names = sorted([await shelf.put(f"Thing {number}", price=number) for number in (1, 2, 3)])
    ask = {"category": shelf.category, "q": "whatever", "price_min": "1000", "page_size": 2}
    first = await without_index.SearchProducts(pb.SearchProductsRequest(**ask))
    second = await without_index.SearchProducts(pb.SearchProductsRequest(**ask, page_token=first.next_page_token))

    assert len(degraded(first)) == 2
    assert [product.product_id for product in (*first.products, *second.products)] == names
    assert {product.HasField("in_stock") for product in first.products} == {False}
    assert not second.next_page_token


async def test_a_category_that_nobody_knows_is_empty_then_too(without_index: Client) -> None:
    answer = await without_index.SearchProducts(pb.SearchProductsRequest(category="no-such-shelf"))

    assert degraded(answer) == []


async def test_a_page_token_of_before_goes_on_in_the_listing(shelf: Shelf, without_index: Client) -> None:
    for number in (1, 2, 3):
        await shelf.put(f"Thing {number}", price=number)
    await shelf.shows("Thing 1", "Thing 2", "Thing 3", sort="price", price_min="0")
    first = await shelf.ask(sort="price", page_size=2)
    ask = pb.SearchProductsRequest(category=shelf.category, sort="price", page_size=2, page_token=first.next_page_token)

    assert len(degraded(await without_index.SearchProducts(ask))) == 1


async def test_only_who_runs_the_shop_rebuilds(search: Client) -> None:
    for call, ask in ((search.RebuildIndex, pb.RebuildIndexRequest()), (search.RollBackIndex, pb.RollBackIndexRequest())):
        assert (await refused(call(ask)))[0] in ("UNAUTHENTICATED", "PERMISSION_DENIED")


async def test_an_order_that_leaves_something_is_no_event_for_search(shop: Shop, shelf: Shelf) -> None:
    name = await shelf.put("Plenty", units=100)
    await shelf.shows("Plenty", in_stock=True)
    [(position,)] = await shop.execute("search", "SELECT position FROM products WHERE product_id = %s", name)

    await shop.order(await shop.customer(), (name, 95))
    ask = inventory_service_pb2.ListBalancesRequest(sku=name)
    assert [balance.on_hand for balance in (await shop.inventory().ListBalances(ask)).balances] == [5]
    await shelf.put("Later")
    await shelf.shows("Later", q="later", in_stock=True)

    assert await shop.execute("search", "SELECT position FROM products WHERE product_id = %s", name) == [(position,)]
