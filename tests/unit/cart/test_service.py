from typing import Any

import pytest

from bazaar.cart.v1 import cart_pb2
from bazaar.cart.v1 import cart_service_pb2 as pb
from bazaar.catalog.v1 import catalog_pb2
from services.kit.ids import uuid7
from tests.neighbours import World
from tests.serving import Client, refused, user


@pytest.fixture
def user_id() -> str:
    return uuid7()


@pytest.fixture
def client(stub: Any, user_id: str) -> Client:
    return Client(stub, user(user_id))


@pytest.fixture
def sku(world: World) -> str:
    """A product with one SKU on sale: 10 units at 5.00 INR."""
    product_id = f"p-{uuid7()}"
    world.sell(product_id)
    return product_id


async def add(client: Client, sku: str = "", quantity: int = 1, **fields: str) -> cart_pb2.Cart:
    return (await client.AddItem(pb.AddItemRequest(sku=sku, quantity=quantity, **fields))).cart


async def cart_of(client: Client, cart_id: str = "") -> cart_pb2.Cart:
    return (await client.GetCart(pb.GetCartRequest(cart_id=cart_id))).cart


async def test_an_added_item_is_answered_with_price_stock_and_subtotal(client: Client, sku: str):
    cart = await add(client, sku, 2)

    [item] = cart.items
    assert (item.sku, item.product_id, item.title, item.quantity) == (sku, sku, sku.title(), 2)
    assert (item.price.currency_code, item.price.minor_units, item.amount.minor_units) == ("INR", 500, 1000)
    assert (item.in_stock, item.price_changed) == (True, False)
    assert (cart.subtotal.minor_units, cart.item_count, cart.is_active, cart.is_stale) == (1000, 2, True, False)
    assert await cart_of(client) == cart


async def test_a_product_id_stands_for_its_only_sku(client: Client, sku: str):
    assert [item.sku for item in (await add(client, product_id=sku)).items] == [sku]


async def test_a_product_of_two_skus_must_say_which(client: Client, world: World):
    product_id = f"p-{uuid7()}"
    world.sell(product_id, f"{product_id}-red", f"{product_id}-blue")

    error = await refused(add(client, product_id=product_id))

    expected = {"product_id": product_id, "skus": f"{product_id}-red,{product_id}-blue"}
    assert error == ("INVALID_ARGUMENT", "SKU_AMBIGUOUS", expected)
    assert await cart_of(client) == cart_pb2.Cart(is_active=True)


async def test_an_unknown_sku_or_product_is_not_found(client: Client):
    assert await refused(add(client, "no-sku")) == ("NOT_FOUND", "SKU_NOT_FOUND", {"sku": "no-sku"})
    assert await refused(add(client, product_id="no-p")) == ("NOT_FOUND", "PRODUCT_NOT_FOUND", {"product_id": "no-p"})


async def test_a_product_that_is_not_on_sale_cannot_be_added(client: Client, world: World, sku: str):
    world.products[sku].state = catalog_pb2.Product.DRAFT

    assert (await refused(add(client, sku)))[1] == "SKU_NOT_FOUND"


async def test_a_cart_cannot_hold_more_than_there_is(client: Client, sku: str):
    before = await add(client, sku, 8)

    assert await refused(add(client, sku, 3)) == ("FAILED_PRECONDITION", "OUT_OF_STOCK", {"sku": sku, "wanted": "11", "available": "10"})
    assert await cart_of(client) == before


async def test_a_cart_cannot_hold_more_than_its_caps(client: Client, world: World, sku: str):
    world.stock[sku] = 10**9
    before = await add(client, sku, 99_999)

    assert await refused(add(client, sku, 2)) == ("FAILED_PRECONDITION", "CART_FULL", {"limit": "100000"})
    assert await cart_of(client) == before


async def test_a_sku_priced_in_another_currency_cannot_join_a_cart(client: Client, world: World, sku: str):
    await add(client, sku)
    world.sell("imported", currency="USD")

    assert await refused(add(client, "imported")) == ("FAILED_PRECONDITION", "PRICE_NOT_FOUND", {"sku": "imported", "currency": "INR"})


@pytest.mark.parametrize("fields", [{}, {"sku": "a", "product_id": "b"}, {"sku": "no spaces"}, {"sku": "a", "cart_id": "x"}])
async def test_an_add_that_breaks_a_rule_is_refused(client: Client, fields: dict[str, str]):
    assert (await refused(add(client, **fields)))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_repeated_add_counts_once_and_answers_the_same(client: Client, sku: str):
    keyed = client.having(("idempotency-key", "k1"))

    assert await add(keyed, sku, 2) == await add(keyed, sku, 2)
    assert (await cart_of(client)).item_count == 2


async def test_a_repeated_add_is_answered_while_the_catalogue_is_away(client: Client, world: World, sku: str):
    keyed = client.having(("idempotency-key", "k1"))
    first = await add(keyed, sku, 2)
    world.away.add("catalog")

    assert await add(keyed, sku, 2) == first


async def test_the_same_key_for_another_add_is_refused(client: Client, sku: str):
    keyed = client.having(("idempotency-key", "k1"))
    await add(keyed, sku, 2)

    assert (await refused(add(keyed, sku, 3)))[:2] == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert (await cart_of(client)).item_count == 2


# Neighbours away


@pytest.mark.parametrize("by", ["sku", "product_id"])
async def test_nothing_is_added_while_the_catalogue_cannot_say_whether_it_exists(client: Client, world: World, sku: str, by: str):
    world.away.add("catalog")

    assert await refused(add(client, **{by: sku})) == ("UNAVAILABLE", "UNAVAILABLE", {"service": "catalog"})
    assert (await cart_of(client)).item_count == 0


async def test_items_are_added_while_stock_and_price_cannot_be_asked(client: Client, world: World, sku: str):
    world.away.update({"inventory", "pricing"})

    cart = await add(client, sku, 50)

    assert (cart.items[0].quantity, cart.items[0].in_stock, cart.items[0].HasField("price")) == (50, True, False)
    assert (cart.HasField("subtotal"), cart.is_stale, cart.degraded) == (False, True, ["pricing", "inventory"])


async def test_a_cart_is_shown_with_what_was_seen_last_while_all_neighbours_are_away(client: Client, world: World, sku: str):
    before = await add(client, sku, 2)
    world.away.update({"catalog", "inventory", "pricing"})

    before.is_stale = True
    before.degraded.extend(["catalog", "pricing", "inventory"])
    assert await cart_of(client) == before


async def test_a_changed_price_is_shown_and_marked(client: Client, world: World, sku: str):
    await add(client, sku, 2)
    world.prices[sku] = ("INR", 450)

    cart = await cart_of(client)

    assert (cart.items[0].price.minor_units, cart.items[0].price_changed, cart.subtotal.minor_units) == (450, True, 900)


async def test_an_archived_product_stays_in_the_cart_and_cannot_be_bought(client: Client, world: World, sku: str):
    await add(client, sku)
    world.products[sku].state = catalog_pb2.Product.ARCHIVED

    assert [(item.sku, item.in_stock) for item in (await cart_of(client)).items] == [(sku, False)]


# Changing


async def test_a_quantity_is_set(client: Client, sku: str):
    await add(client, sku, 2)

    cart = (await client.UpdateItem(pb.UpdateItemRequest(sku=sku, quantity=7))).cart

    assert (cart.items[0].quantity, cart.subtotal.minor_units) == (7, 3500)


async def test_a_quantity_beyond_stock_is_refused_and_one_below_it_never(client: Client, world: World, sku: str):
    await add(client, sku, 8)
    world.stock[sku] = 1

    error = await refused(client.UpdateItem(pb.UpdateItemRequest(sku=sku, quantity=9)))
    cart = (await client.UpdateItem(pb.UpdateItemRequest(sku=sku, quantity=5))).cart

    assert error == ("FAILED_PRECONDITION", "OUT_OF_STOCK", {"sku": sku, "wanted": "9", "available": "1"})
    assert (cart.items[0].quantity, cart.items[0].in_stock) == (5, False)


async def test_what_is_not_in_the_cart_cannot_be_updated(client: Client):
    assert await refused(client.UpdateItem(pb.UpdateItemRequest(sku="a", quantity=1))) == ("NOT_FOUND", "ITEM_NOT_IN_CART", {"sku": "a"})


async def test_an_item_is_removed_and_removing_it_again_is_no_error(client: Client, sku: str):
    await add(client, sku, 2)

    carts = [(await client.RemoveItem(pb.RemoveItemRequest(sku=sku))).cart for _ in range(2)]

    assert [(list(cart.items), cart.item_count, cart.HasField("subtotal")) for cart in carts] == [([], 0, False)] * 2


# Several carts


async def test_a_new_cart_is_the_active_one(client: Client, sku: str):
    old = await add(client, sku)
    new = (await client.CreateCart(pb.CreateCartRequest())).cart

    assert (new.is_active, new.item_count, (await cart_of(client)).cart_id) == (True, 0, new.cart_id)
    assert (await cart_of(client, old.cart_id)).is_active is False


async def test_a_repeated_request_makes_one_cart(client: Client):
    keyed = client.having(("idempotency-key", "k1"))

    assert await keyed.CreateCart(pb.CreateCartRequest()) == await keyed.CreateCart(pb.CreateCartRequest())


async def test_carts_are_listed_newest_first_page_by_page(client: Client, sku: str):
    ids = [(await client.CreateCart(pb.CreateCartRequest())).cart.cart_id for _ in range(3)]
    await add(client, sku)

    first = await client.ListCarts(pb.ListCartsRequest(page_size=2))
    second = await client.ListCarts(pb.ListCartsRequest(page_size=2, page_token=first.next_page_token))

    assert [cart.cart_id for cart in (*first.carts, *second.carts)] == ids[::-1]
    assert [(item.sku, item.HasField("price")) for item in first.carts[0].items] == [(sku, False)]
    assert second.next_page_token == ""


async def test_the_page_token_of_another_user_is_refused(client: Client, stub: Any):
    for _ in range(2):
        await client.CreateCart(pb.CreateCartRequest())
    token = (await client.ListCarts(pb.ListCartsRequest(page_size=1))).next_page_token

    error = await refused(Client(stub, user(uuid7())).ListCarts(pb.ListCartsRequest(page_token=token)))

    assert error[:2] == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_a_cart_of_somebody_else_is_as_absent_as_one_that_never_was(client: Client, stub: Any, sku: str):
    cart = await add(client, sku)
    stranger = Client(stub, user(uuid7()))

    for cart_id in (cart.cart_id, uuid7()):
        for call in (
            stranger.GetCart(pb.GetCartRequest(cart_id=cart_id)),
            stranger.GetItemCount(pb.GetItemCountRequest(cart_id=cart_id)),
            add(stranger, sku, cart_id=cart_id),
            stranger.UpdateItem(pb.UpdateItemRequest(cart_id=cart_id, sku=sku, quantity=5)),
            stranger.RemoveItem(pb.RemoveItemRequest(cart_id=cart_id, sku=sku)),
        ):
            assert await refused(call) == ("NOT_FOUND", "CART_NOT_FOUND", {"cart_id": cart_id})
    assert await cart_of(client) == cart


async def test_a_cart_needs_somebody_who_is_logged_in(stub: Any):
    assert (await refused(Client(stub).GetCart(pb.GetCartRequest())))[:2] == ("UNAUTHENTICATED", "UNAUTHENTICATED")


# Checkout


async def lines(client: Client, user_id: str, cart_id: str = "") -> pb.GetCheckoutLinesResponse:
    return await client.GetCheckoutLines(pb.GetCheckoutLinesRequest(user_id=user_id, cart_id=cart_id))


async def test_checkout_gets_skus_and_quantities_of_the_active_cart(client: Client, stub: Any, user_id: str, world: World, sku: str):
    cart = await add(client, sku, 3)
    world.away.update({"catalog", "inventory", "pricing"})

    answer = await lines(Client(stub, user(user_id), caller="checkout"), user_id)

    assert (answer.cart_id, [(line.sku, line.quantity) for line in answer.lines]) == (cart.cart_id, [(sku, 3)])


async def test_checkout_finds_no_lines_where_nothing_was_added(stub: Any, user_id: str):
    assert await lines(Client(stub, user(user_id), caller="checkout"), user_id) == pb.GetCheckoutLinesResponse()


async def test_checkout_reads_only_the_cart_of_the_user_it_acts_for(client: Client, stub: Any, user_id: str, sku: str):
    cart = await add(client, sku)
    checkout = Client(stub, user(uuid7()), caller="checkout")

    assert await refused(lines(checkout, user_id, cart.cart_id)) == ("NOT_FOUND", "CART_NOT_FOUND", {"cart_id": cart.cart_id})


async def test_checkout_lines_are_not_for_the_edge(client: Client, user_id: str):
    assert (await refused(lines(client, user_id)))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
