"""Reads files of products, and the baskets of a year of shopping, without holding them in memory."""

from tools.importing.baskets import Basket, BasketReader, RefusedLine, RefusedOrder
from tools.importing.files import read_products
from tools.importing.records import ProductRecord, Progress, Refusal

__all__ = ["Basket", "BasketReader", "ProductRecord", "Progress", "Refusal", "RefusedLine", "RefusedOrder", "read_products"]
