"""The judge that looks at the shop after each test that used it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.shop import Shop


@pytest.fixture(autouse=True)
async def invariants(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After every test that used the shop, its invariants hold."""
    yield
    if "shop" in request.fixturenames:
        shop: Shop = request.getfixturevalue("shop")
        assert await shop.violations() == []
