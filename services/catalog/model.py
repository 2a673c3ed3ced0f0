"""The rules of the catalogue: what a product is, where it stands, who may see it, and what of it may change."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import field, replace
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from services.kit.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from services.kit.values import value

STANDARD_TAX_CLASS = "standard"
MAX_CATEGORY_ID = 1000
"""Characters of a category id; deeper or longer paths could not be asked for."""

DEFAULT_PAGE_SIZE = 20
DEFAULT_CATEGORY_PAGE_SIZE = 100


class ProductNotFound(NotFound):
    """No such product, or it isn't on sale and the caller isn't staff."""

    reason = "PRODUCT_NOT_FOUND"


class CategoryNotFound(NotFound):
    """No product ever stood there."""

    reason = "CATEGORY_NOT_FOUND"


class ProductExists(AlreadyExists):
    """The product id or one of the SKUs is taken."""

    reason = "PRODUCT_EXISTS"


class CategoryPathInvalid(InvalidArgument):
    """The path has no level that makes an id, or makes one that is too long."""

    reason = "CATEGORY_PATH_INVALID"


class EtagMismatch(Aborted):
    """The product changed since it was read."""

    reason = "ETAG_MISMATCH"


class ProductMalformed(InvalidArgument):
    """A rule that the proto cannot say is broken; `violations` names the field."""

    reason = "VALIDATION_FAILED"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}", violations=[(path, why)])


class State(Enum):
    """How far a product is from the shelf; the values are what is stored."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


PUBLIC_STATES = (State.ACTIVE,)
ALL_STATES = tuple(State)
_STAFF_ROLES = frozenset({"support", "admin"})


@value
class Variant:
    """What is bought: one colour and size of a product."""

    sku: str
    title: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    weight_grams: int = 0


@value
class Category:
    """A shelf of the shop."""

    category_id: str
    title: str
    parent_category_id: str
    """Empty for a root."""
    path: tuple[str, ...]
    """Names from the root down, this one last."""


@value
class Product:
    """Something the shop sells. One that was read in part, by a mask, has the defaults in what was not read."""

    product_id: str = ""
    title: str = ""
    brand: str = ""
    description: str = ""
    category_path: tuple[str, ...] = ()
    category_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Free-form: anything JSON can say."""
    variants: tuple[Variant, ...] = ()
    image_urls: tuple[str, ...] = ()
    state: State | None = None
    seller_id: str = ""
    tax_class: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0
    """1 when created, one more with every write; 0 when not stored or not read."""

    @property
    def etag(self) -> str:
        return str(self.version) if self.version else ""


WRITABLE = frozenset(
    {"title", "brand", "description", "category_path", "attributes", "variants", "image_urls", "state", "seller_id", "tax_class"}
)
_OUTPUT_ONLY = frozenset({"category_id", "price", "create_time", "update_time"})
_IDENTITY = frozenset({"product_id", "etag"})
VARIANT_FIELDS = frozenset({"variants.sku", "variants.title", "variants.attributes", "variants.price", "variants.weight_grams"})
READABLE = (WRITABLE | _OUTPUT_ONLY | _IDENTITY) - {"variants"} | VARIANT_FIELDS
"""Every field that a read mask can name, variants field by field."""
BRIEF = READABLE - {"description", "attributes", "variants.attributes"}
"""What a product is, without what is said of it at length."""

_NOT_IN_SLUGS = re.compile(r"[^a-z0-9]+")


def slug(name: str) -> str:
    """A category level's part of the id: lower case, runs of other than a-z0-9 turned into one `-`, none at the ends; may be empty."""
    return _NOT_IN_SLUGS.sub("-", name.lower()).strip("-")


@lru_cache(maxsize=4096)
def categories_on(path: tuple[str, ...]) -> tuple[Category, ...]:
    """The categories that a path leads through, root first; levels without a slug are left out. Remembered, as shelves are full.

    Paths that give the same ids lead through the same categories, however they are spelt.

    Raises:
        CategoryPathInvalid: no level has a slug, or the id would be longer than 1,000 characters.
    """
    found: list[Category] = []
    parent, names = "", ()
    for name in path:
        if part := slug(name):
            category_id = f"{parent}.{part}" if parent else part
            names = (*names, name)
            found.append(Category(category_id, name, parent, names))
            parent = category_id
    if not found:
        raise CategoryPathInvalid("no level of the category path has a letter a-z or a digit")
    if len(parent) > MAX_CATEGORY_ID:
        raise CategoryPathInvalid(f"the category id would be longer than {MAX_CATEGORY_ID} characters")
    return tuple(found)


def ancestors_of(category_id: str) -> list[str]:
    """Every prefix of a category id, itself last."""
    parts = category_id.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def completed(product: Product, product_id: str, now: datetime) -> Product:
    """A product as it is first stored: with an id, at least one variant, a category id, a state and a tax class.

    Raises:
        CategoryPathInvalid: see `categories_on`.
        ProductMalformed: a SKU comes twice, or an attribute is nothing that JSON can say.
    """
    stored = replace(
        product,
        product_id=product_id,
        category_id=categories_on(product.category_path)[-1].category_id,
        variants=product.variants or (Variant(product_id),),
        state=product.state or State.ACTIVE,
        tax_class=product.tax_class or STANDARD_TAX_CLASS,
        created_at=now,
        updated_at=now,
        version=1,
    )
    _check(stored)
    return stored


def changed(stored: Product, given: Product, fields: Collection[str], etag: str, now: datetime) -> Product:
    """The stored product with the named fields of the given one. An unset state is left as it is.

    Args:
        fields: of WRITABLE.
        etag: of the product that the change was made on; empty when any will do.

    Raises:
        EtagMismatch: the stored product is another version.
        CategoryPathInvalid, ProductMalformed: as from `completed`.
    """
    if etag and etag != stored.etag:
        raise EtagMismatch("the product changed since it was read", etag=stored.etag, product_id=stored.product_id)
    taken = {name: getattr(given, name) for name in fields if name != "state" or given.state}
    merged = replace(stored, **taken)
    result = completed(merged, stored.product_id, now)
    return replace(result, created_at=stored.created_at, version=stored.version + 1)


def readable(paths: Collection[str]) -> frozenset[str]:
    """The fields that a read mask names, of READABLE; all of them for no path or `*`.

    Raises:
        ProductMalformed: there is no such field.
    """
    if not paths or "*" in paths:
        return READABLE
    found: set[str] = set()
    for path in paths:
        wanted = VARIANT_FIELDS if path == "variants" else {path}
        if not READABLE.issuperset(wanted):
            raise ProductMalformed("read_mask", f"{path} is no field of a product")
        found |= wanted
    return frozenset(found)


def writable(paths: Collection[str]) -> frozenset[str]:
    """The fields that an update mask names, of WRITABLE; all of them for no path or `*`. Output-only fields are passed over.

    Raises:
        ProductMalformed: there is no such field, or it is a part of one.
    """
    if not paths or "*" in paths:
        return WRITABLE
    if unknown := set(paths) - WRITABLE - _OUTPUT_ONLY - _IDENTITY:
        raise ProductMalformed("update_mask", f"{min(unknown)} is no field of a product that can be written")
    return WRITABLE.intersection(paths)


def states_seen_by(roles: Collection[str]) -> tuple[State, ...]:
    """Staff see every state; everybody else what is on sale."""
    return PUBLIC_STATES if _STAFF_ROLES.isdisjoint(roles) else ALL_STATES


def _check(product: Product) -> None:
    seen: set[str] = set()
    for place, variant in enumerate(product.variants):
        if variant.sku in seen:
            raise ProductMalformed(f"variants[{place}].sku", f"{variant.sku} comes twice")
        seen.add(variant.sku)
        _check_json(f"variants[{place}].attributes", variant.attributes)
    _check_json("attributes", product.attributes)


def _check_json(path: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ProductMalformed(path, "JSON has no infinite numbers")
    if isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            if "\0" in name:
                raise ProductMalformed(path, "a name contains the character NUL")
            _check_json(path, member)
    elif isinstance(value, list):
        for member in cast("list[object]", value):
            _check_json(path, member)
