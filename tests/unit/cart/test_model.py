from dataclasses import replace

import pytest

from services.cart.model import (
    Cart,
    CartFull,
    Facts,
    Item,
    ItemNotInCart,
    OutOfStock,
    PriceNotFound,
    Product,
    ProductNotFound,
    SkuAmbiguous,
    SkuNotFound,
    added,
    only_sku,
    taken_out,
    with_quantity,
    without,
)
from services.cart.shown import shown
from services.kit.errors import DomainError
from services.kit.money import Money

TV = Product("tv", "Telly", is_on_sale=True, skus=("tv",))
PEN = Product("pen", "Pen", is_on_sale=True, skus=("pen-red", "pen-blue"))
PRODUCTS = {"tv": TV, "pen-red": PEN, "pen-blue": PEN}
PRICES = {"tv": Money("INR", 500), "pen-red": Money("INR", 20), "pen-blue": Money("INR", 21)}
STOCK = {"tv": 3, "pen-red": 10, "pen-blue": 10}
FACTS = Facts(frozenset(PRODUCTS), PRODUCTS, PRICES, STOCK)
EMPTY = Cart("c1", is_active=True)
TV_ITEM = Item("tv", "tv", "Telly", 2, 500)
RED = Item("pen-red", "pen", "Pen", 4, 20)
CART = replace(EMPTY, currency="INR", items=(TV_ITEM, RED))


def error_of(work, *values: object) -> DomainError:
    with pytest.raises(DomainError) as caught:
        work(*values)
    return caught.value


# Which SKU


def test_a_product_stands_for_its_only_sku():
    assert only_sku("tv", [TV]) == "tv"


def test_a_product_of_several_skus_is_ambiguous():
    error = error_of(only_sku, "pen", [PEN])

    assert (type(error), error.metadata) == (SkuAmbiguous, {"product_id": "pen", "skus": "pen-red,pen-blue"})


def test_an_ambiguous_product_names_no_more_than_20_skus():
    error = error_of(only_sku, "pen", [replace(PEN, skus=tuple(f"s{number}" for number in range(1000)))])

    assert len(error.metadata["skus"].split(",")) == 20


@pytest.mark.parametrize("products", [[], [TV], [replace(PEN, is_on_sale=False)], [replace(PEN, skus=())]])
def test_a_product_that_is_not_on_sale_is_not_found(products: list[Product]):
    error = error_of(only_sku, "pen", products)

    assert (type(error), error.metadata) == (ProductNotFound, {"product_id": "pen"})


# Adding


def test_the_first_item_brings_its_price_and_currency():
    assert added(EMPTY, "tv", 2, FACTS) == replace(EMPTY, currency="INR", items=(TV_ITEM,))


def test_more_of_an_item_is_added_up_where_it_stands():
    assert added(CART, "tv", 1, FACTS).items == (replace(TV_ITEM, quantity=3), RED)


def test_adding_again_remembers_the_latest_price():
    facts = replace(FACTS, prices={**PRICES, "tv": Money("INR", 450)})

    assert added(CART, "tv", 1, facts).items[0].price_seen == 450


@pytest.mark.parametrize("products", [{}, {"tv": replace(TV, is_on_sale=False)}])
def test_a_sku_that_is_not_on_sale_cannot_be_added(products: dict[str, Product]):
    error = error_of(added, EMPTY, "tv", 1, replace(FACTS, products=products))

    assert (type(error), error.metadata) == (SkuNotFound, {"sku": "tv"})


def test_what_the_cart_would_hold_must_be_there():
    error = error_of(added, CART, "tv", 2, FACTS)

    assert (type(error), error.metadata) == (OutOfStock, {"sku": "tv", "wanted": "4", "available": "3"})


def test_a_sku_without_stock_counts_none():
    assert error_of(added, EMPTY, "tv", 1, replace(FACTS, available={})).metadata["available"] == "0"


def test_adding_goes_on_when_inventory_is_away():
    assert added(CART, "tv", 50, replace(FACTS, available=None)).quantity_of("tv") == 52


def test_adding_goes_on_when_pricing_is_away():
    cart = added(EMPTY, "tv", 2, replace(FACTS, prices=None))

    assert cart == replace(EMPTY, currency="", items=(replace(TV_ITEM, price_seen=None),))


def test_more_of_an_item_keeps_its_price_when_pricing_is_away():
    assert added(CART, "tv", 1, replace(FACTS, prices=None)).items[0] == replace(TV_ITEM, quantity=3)


@pytest.mark.parametrize("prices", [{}, {"tv": Money("USD", 7)}])
def test_a_sku_without_a_price_in_the_carts_currency_cannot_be_added(prices: dict[str, Money]):
    error = error_of(added, CART, "tv", 1, replace(FACTS, prices=prices))

    assert (type(error), error.metadata) == (PriceNotFound, {"sku": "tv", "currency": "INR"})


def test_a_cart_holds_100000_units_of_a_sku_and_no_more():
    facts = replace(FACTS, available={"tv": 10**9})

    assert added(CART, "tv", 99_998, facts).quantity_of("tv") == 100_000
    error = error_of(added, CART, "tv", 99_999, facts)
    assert (type(error), error.metadata) == (CartFull, {"limit": "100000"})


def test_a_cart_holds_100_skus_and_no_more():
    full = replace(CART, items=(*CART.items, *(replace(RED, sku=f"s{number}") for number in range(98))))

    assert added(full, "tv", 1, FACTS).quantity_of("tv") == 3
    error = error_of(added, full, "pen-blue", 1, FACTS)
    assert (type(error), error.metadata) == (CartFull, {"limit": "100"})


# Changing


def test_a_quantity_is_set():
    assert with_quantity(CART, "tv", 3, FACTS).items == (replace(TV_ITEM, quantity=3), RED)


def test_more_than_there_is_cannot_be_set():
    error = error_of(with_quantity, CART, "tv", 4, FACTS)

    assert (type(error), error.metadata) == (OutOfStock, {"sku": "tv", "wanted": "4", "available": "3"})


def test_fewer_can_always_be_set():
    assert with_quantity(CART, "tv", 1, replace(FACTS, available={})).quantity_of("tv") == 1


def test_what_is_not_in_the_cart_has_no_quantity():
    error = error_of(with_quantity, CART, "pen-blue", 1, FACTS)

    assert (type(error), error.metadata) == (ItemNotInCart, {"sku": "pen-blue"})


def test_an_item_is_taken_out():
    assert without(CART, "tv") == replace(CART, items=(RED,))


def test_taking_out_what_is_not_there_changes_nothing():
    assert without(CART, "pen-blue") == CART


def test_an_empty_cart_has_no_currency():
    assert without(without(CART, "tv"), "pen-red") == EMPTY


def test_an_order_takes_out_what_was_bought_and_leaves_what_was_added_since():
    assert taken_out(CART, {"tv": 2, "pen-red": 1, "gone": 5}) == replace(CART, items=(replace(RED, quantity=3),))


def test_an_order_of_more_than_is_left_takes_all():
    assert taken_out(CART, {"tv": 9}).items == (RED,)


def test_units_are_counted_over_all_items():
    assert CART.item_count == 6


# Showing


def test_a_cart_is_shown_with_prices_amounts_and_subtotal():
    view = shown(CART, FACTS)

    assert [(item.title, item.price, item.amount) for item in view.items] == [
        ("Telly", Money("INR", 500), Money("INR", 1000)),
        ("Pen", Money("INR", 20), Money("INR", 80)),
    ]
    assert (view.subtotal, view.is_stale) == (Money("INR", 1080), False)


def test_an_empty_cart_has_no_subtotal_and_is_not_stale():
    view = shown(EMPTY, Facts(frozenset(), None, None, None))

    assert (view.items, view.subtotal, view.is_stale) == ((), None, False)


def test_a_price_that_differs_from_the_one_seen_is_marked():
    view = shown(CART, replace(FACTS, prices={**PRICES, "tv": Money("INR", 501)}))

    assert [item.price_changed for item in view.items] == [True, False]


def test_a_price_that_nobody_saw_cannot_have_changed():
    cart = replace(CART, items=(replace(TV_ITEM, price_seen=None),))

    assert [(item.price, item.price_changed) for item in shown(cart, FACTS).items] == [(Money("INR", 500), False)]


@pytest.mark.parametrize(("available", "in_stock"), [(2, True), (1, False), (0, False)])
def test_an_item_is_in_stock_when_the_whole_quantity_is(available: int, in_stock: bool):
    assert shown(CART, replace(FACTS, available={"tv": available})).items[0].in_stock is in_stock


@pytest.mark.parametrize("products", [{}, {"tv": replace(TV, is_on_sale=False)}])
def test_an_item_whose_product_left_the_shop_stays_and_cannot_be_bought(products: dict[str, Product]):
    view = shown(CART, replace(FACTS, products=products))

    assert (view.items[0].title, view.items[0].in_stock, view.is_stale) == ("Telly", False, False)


def test_without_pricing_the_prices_seen_last_are_shown():
    view = shown(CART, replace(FACTS, prices=None))

    assert (view.items[0].price, view.items[0].price_changed, view.subtotal, view.is_stale) == (
        Money("INR", 500),
        False,
        Money("INR", 1080),
        True,
    )


def test_without_inventory_stock_is_guessed():
    view = shown(CART, replace(FACTS, available=None))

    assert ([item.in_stock for item in view.items], view.is_stale) == ([True, True], True)
    assert view.degraded == ("inventory",)


def test_without_the_catalogue_titles_are_those_seen_last():
    view = shown(CART, replace(FACTS, products=None))

    assert ([item.title for item in view.items], view.is_stale) == (["Telly", "Pen"], True)
    assert view.degraded == ("catalog",)


def test_an_item_that_a_rival_added_meanwhile_is_shown_as_remembered():
    view = shown(CART, Facts(frozenset({"tv"}), {"tv": TV}, {"tv": PRICES["tv"]}, {"tv": 3}))

    assert (view.items[1].price, view.items[1].in_stock, view.is_stale) == (Money("INR", 20), True, True)
    assert view.degraded == ()


def test_an_item_without_a_price_in_the_carts_currency_shows_none():
    view = shown(CART, replace(FACTS, prices={"tv": Money("USD", 5), "pen-red": Money("INR", 20)}))

    assert ([(item.price, item.amount) for item in view.items], view.subtotal) == (
        [(None, None), (Money("INR", 20), Money("INR", 80))],
        Money("INR", 80),
    )


def test_a_cart_that_never_saw_a_price_takes_the_currency_of_its_first_priced_item():
    cart = replace(EMPTY, items=(replace(TV_ITEM, price_seen=None), replace(RED, price_seen=None)))

    assert shown(cart, FACTS).subtotal == Money("INR", 1080)


def test_an_amount_beyond_64_bits_is_not_shown():
    view = shown(replace(CART, items=(TV_ITEM,)), replace(FACTS, prices={"tv": Money("INR", 2**62)}))

    assert (view.items[0].amount, view.subtotal) == (None, None)
