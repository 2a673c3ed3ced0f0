"""Values: objects that are what their fields say, and stay so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(of: type[T]) -> type[T]:
    """A dataclass whose fields are set once, when it is made; equal to another, and hashed, by its fields.

    The type checker refuses every assignment to a field. At run time nobody does: dataclasses' own `frozen` makes one of ten fields in 1.06
    µs instead of 0.20, and an order takes a hundred of them.
    """
    return dataclass(slots=True, unsafe_hash=True)(of)
