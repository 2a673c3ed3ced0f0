"""A shop's worth of made-up products and shopping, always the same."""

from tools.sample.baskets import Line, shopping
from tools.sample.catalogue import Item, catalogue

__all__ = ["Item", "Line", "catalogue", "shopping"]
