"""A small client of the shop's REST edge, and what the tools do with it: stock it, enrol customers, order."""

from tools.shop.account import Account, administrator
from tools.shop.client import Refused, Shop
from tools.shop.running import edge_of

__all__ = ["Account", "Refused", "Shop", "administrator", "edge_of"]
