from __future__ import annotations

from services.catalog.admission import admit
from services.catalog.model import Product, Variant


def product(product_id: str, *skus: str) -> Product:
    return Product(product_id, variants=tuple(Variant(sku) for sku in skus))


def test_new_products_get_in_and_own_their_skus() -> None:
    admission = admit([product("p", "a", "b"), product("q", "c")], {})

    assert list(admission.admitted) == ["p", "q"]
    assert (admission.refused, admission.updated_count) == ({}, 0)
    assert admission.owners == {"a": "p", "b": "p", "c": "q"}


def test_a_sku_of_another_product_refuses_the_newcomer_alone() -> None:
    admission = admit([product("q", "a", "c"), product("r", "d")], {"a": "p"})

    assert list(admission.admitted) == ["r"]
    assert admission.refused[0].metadata == {"product_id": "q", "sku": "a"}
    assert admission.owners == {"a": "p", "d": "r"}


def test_of_two_newcomers_with_one_sku_the_first_gets_it() -> None:
    admission = admit([product("p", "a"), product("q", "a")], {})

    assert (list(admission.admitted), list(admission.refused)) == (["p"], [1])


def test_a_stored_product_is_replaced_and_gives_up_skus_that_it_no_longer_has() -> None:
    admission = admit([product("p", "b")], {"a": "p"})

    assert (admission.updated_count, admission.owners) == (1, {"b": "p"})


def test_a_product_that_comes_twice_is_created_and_then_replaced() -> None:
    first, second = product("p", "a"), product("p", "b")

    admission = admit([first, second], {})

    assert admission.admitted["p"] is second
    assert (admission.updated_count, admission.owners) == (1, {"b": "p"})


def test_a_sku_given_up_can_be_taken_by_a_later_product() -> None:
    admission = admit([product("p", "b"), product("q", "a")], {"a": "p"})

    assert admission.refused == {}
    assert admission.owners == {"b": "p", "a": "q"}


def test_a_refused_product_leaves_the_stored_one_as_it_is() -> None:
    admission = admit([product("p", "x")], {"a": "p", "x": "q"})

    assert (admission.admitted, admission.owners) == ({}, {"a": "p", "x": "q"})
