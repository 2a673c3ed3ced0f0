"""Load on the shop's edge, and what it does to it."""

from tools.loading.measures import Measures
from tools.loading.run import Plan, run

__all__ = ["Measures", "Plan", "run"]
