from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog import model
from services.catalog.model import (
    Category,
    CategoryPathInvalid,
    EtagMismatch,
    Product,
    ProductMalformed,
    State,
    Variant,
    ancestors_of,
    categories_on,
    changed,
    completed,
    readable,
    slug,
    states_seen_by,
    writable,
)

THEN = datetime(2026, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 5, 2, tzinfo=UTC)
DRAFT = Product(title="TV", category_path=("Toys", "Screens"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GROCERY", "grocery"),
        ("FRZN ICE", "frzn-ice"),
        ("ICE - CRUSHED/CUBED", "ice-crushed-cubed"),
        ("BREAD:ITALIAN/FRENCH", "bread-italian-french"),
        ("--Odd--", "odd"),
        ("Café", "caf"),
        ("4K & 8K", "4k-8k"),
        ("***", ""),
        ("", ""),
    ],
)
def test_slug_keeps_lower_case_letters_and_digits_with_one_dash_between(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text())
def test_a_slug_is_its_own_slug(name: str) -> None:
    assert slug(slug(name)) == slug(name)


def test_a_path_leads_through_every_category_from_the_root_down() -> None:
    assert categories_on(("Grocery", "FRZN ICE", "ICE - CRUSHED/CUBED")) == (
        Category("grocery", "Grocery", "", ("Grocery",)),
        Category("grocery.frzn-ice", "FRZN ICE", "grocery", ("Grocery", "FRZN ICE")),
        Category(
            "grocery.frzn-ice.ice-crushed-cubed", "ICE - CRUSHED/CUBED", "grocery.frzn-ice", ("Grocery", "FRZN ICE", "ICE - CRUSHED/CUBED")
        ),
    )


def test_levels_without_a_slug_are_left_out_of_the_path() -> None:
    assert [category.category_id for category in categories_on(("Grocery", " - ", "Ice"))] == ["grocery", "grocery.ice"]


def test_paths_spelt_differently_are_the_same_category() -> None:
    assert categories_on(("GROCERY", "Frzn  Ice!"))[-1].category_id == categories_on(("grocery", "FRZN ICE"))[-1].category_id


@pytest.mark.parametrize("path", [(), ("", "***")])
def test_a_path_without_any_slug_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(CategoryPathInvalid) as refused:
        categories_on(path)

    assert refused.value.reason == "CATEGORY_PATH_INVALID"


def test_a_category_id_has_at_most_1000_characters() -> None:
    fits = ("a" * 200, "b" * 200, "c" * 200, "d" * 200, "e" * 196)

    assert len(categories_on(fits)[-1].category_id) == 1000
    with pytest.raises(CategoryPathInvalid):
        categories_on((*fits[:4], "e" * 197))


def test_ancestors_are_every_prefix_of_a_category_id() -> None:
    assert ancestors_of("grocery.frzn-ice.cubed") == ["grocery", "grocery.frzn-ice", "grocery.frzn-ice.cubed"]


def test_a_product_without_variants_gets_one_whose_sku_is_its_id() -> None:
    assert completed(DRAFT, "tv", NOW).variants == (Variant("tv"),)


def test_a_new_product_is_on_sale_in_the_standard_tax_class_as_version_1() -> None:
    product = completed(DRAFT, "tv", NOW)

    assert (product.state, product.tax_class, product.etag) == (State.ACTIVE, "standard", "1")
    assert (product.category_id, product.created_at, product.updated_at) == ("toys.screens", NOW, NOW)


def test_a_given_state_and_tax_class_are_kept() -> None:
    product = completed(Product(title="TV", category_path=("Toys",), state=State.DRAFT, tax_class="reduced"), "tv", NOW)

    assert (product.state, product.tax_class) == (State.DRAFT, "reduced")


def test_a_sku_comes_once_in_a_product() -> None:
    with pytest.raises(ProductMalformed) as refused:
        completed(Product(title="TV", category_path=("Toys",), variants=(Variant("a"), Variant("a"))), "tv", NOW)

    assert refused.value.violations == (("variants[1].sku", "a comes twice"),)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_an_attribute_is_a_finite_number(number: float) -> None:
    with pytest.raises(ProductMalformed) as refused:
        completed(Product(title="TV", category_path=("Toys",), attributes={"size": [{"inch": number}]}), "tv", NOW)

    assert refused.value.violations == (("attributes", "JSON has no infinite numbers"),)


def test_an_attributes_name_has_no_nul() -> None:
    with pytest.raises(ProductMalformed) as refused:
        completed(Product(title="TV", category_path=("Toys",), variants=(Variant("a", attributes={"b": {"\0": 1.0}}),)), "tv", NOW)

    assert refused.value.violations == (("variants[0].attributes", "a name contains the character NUL"),)


def test_a_change_takes_only_the_named_fields() -> None:
    stored = completed(DRAFT, "tv", THEN)

    product = changed(stored, Product(title="Radio", brand="Sharp"), {"brand"}, "", NOW)

    assert (product.title, product.brand) == ("TV", "Sharp")
    assert (product.version, product.created_at, product.updated_at) == (2, THEN, NOW)


def test_a_change_of_the_path_moves_the_product() -> None:
    product = changed(completed(DRAFT, "tv", THEN), Product(category_path=("Home",)), {"category_path"}, "", NOW)

    assert product.category_id == "home"


def test_an_unset_state_leaves_an_archived_product_archived() -> None:
    stored = completed(Product(title="TV", category_path=("Toys",), state=State.ARCHIVED), "tv", THEN)

    assert changed(stored, DRAFT, model.WRITABLE, "", NOW).state is State.ARCHIVED


def test_a_change_with_the_current_etag_is_made() -> None:
    assert changed(completed(DRAFT, "tv", THEN), Product(title="Radio"), {"title"}, "1", NOW).title == "Radio"


def test_a_change_with_a_stale_etag_is_refused() -> None:
    stored = changed(completed(DRAFT, "tv", THEN), Product(title="Radio"), {"title"}, "", NOW)

    with pytest.raises(EtagMismatch) as refused:
        changed(stored, Product(title="Lamp"), {"title"}, "1", NOW)

    assert (refused.value.reason, refused.value.metadata["etag"]) == ("ETAG_MISMATCH", "2")


def test_a_product_that_is_not_stored_has_no_etag() -> None:
    assert Product().etag == ""


@pytest.mark.parametrize("paths", [[], ["*"], ["title", "*"]])
def test_an_empty_mask_and_a_star_read_everything(paths: list[str]) -> None:
    assert readable(paths) == model.READABLE


def test_a_read_mask_names_variants_whole_or_by_field() -> None:
    assert readable(["title", "variants.sku"]) == {"title", "variants.sku"}
    assert readable(["variants"]) == model.VARIANT_FIELDS


@pytest.mark.parametrize("path", ["nope", "attributes.colour", "variants.nope", "Title"])
def test_a_read_mask_names_fields_that_exist(path: str) -> None:
    with pytest.raises(ProductMalformed) as refused:
        readable(["title", path])

    assert refused.value.violations == (("read_mask", f"{path} is no field of a product"),)


@pytest.mark.parametrize("paths", [[], ["*"]])
def test_an_empty_update_mask_writes_all_that_can_be_written(paths: list[str]) -> None:
    assert writable(paths) == model.WRITABLE


def test_output_only_fields_of_an_update_mask_are_passed_over() -> None:
    assert writable(["title", "price", "category_id", "product_id", "etag"]) == {"title"}


@pytest.mark.parametrize("path", ["nope", "variants.sku"])
def test_an_update_mask_names_fields_that_can_be_written(path: str) -> None:
    with pytest.raises(ProductMalformed) as refused:
        writable([path])

    assert refused.value.reason == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("roles", "states"),
    [
        ([], [State.ACTIVE]),
        (["customer"], [State.ACTIVE]),
        (["seller"], [State.ACTIVE]),
        (["support"], list(State)),
        (["customer", "admin"], list(State)),
    ],
)
def test_staff_see_every_state_and_others_what_is_on_sale(roles: list[str], states: list[State]) -> None:
    assert list(states_seen_by(roles)) == states
