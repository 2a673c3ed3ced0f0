"""What the services themselves say is on sale: for what was there before search listened, and for a rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bazaar.catalog.v1 import catalog_pb2
from bazaar.catalog.v1 import catalog_service_pb2 as catalog_pb
from bazaar.inventory.v1 import inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as inventory_pb
from services.kit.leader import Lease
from services.search import wire
from services.search.store import PriceTold, SearchStore, StockTold

if TYPE_CHECKING:
    from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

_PAGE = 100
_SKUS_AT_ONCE = 1000
_SECONDS = 10.0
_UNTOLD = 0
"""Version of what no event tells: each event is newer."""


class Filling:
    """Takes over what is on sale; what events have told of prices and stock stays as they told it."""

    def __init__(self, store: SearchStore, catalog: CatalogServiceAsyncStub, inventory: InventoryServiceAsyncStub, currency: str) -> None:
        self._store = store
        self._catalog = catalog
        self._inventory = inventory
        self._currency = currency

    async def fill_once(self, lease: Lease) -> None:
        """Reads all there is, unless that was done to its end. As `fill`."""
        if not await self._store.is_filled():
            await self.fill()
            await self._store.filled()

    async def fill(self) -> None:
        """Reads all there is.

        Raises:
            grpc.aio.AioRpcError: one of the services is away.
        """
        token, is_first = "", True
        while token or is_first:
            asked = catalog_pb.ListProductsRequest(page_size=_PAGE, page_token=token, currency=self._currency)
            answer = await self._catalog.ListProducts(asked, timeout=_SECONDS)
            await self._take(answer.products)
            token, is_first = answer.next_page_token, False

    async def _take(self, products: Sequence[catalog_pb2.Product]) -> None:
        prices = [
            PriceTold(product.variants[0].sku, _UNTOLD, product.price.minor_units)
            for product in products
            if product.HasField("price") and product.variants
        ]
        skus = [variant.sku for product in products for variant in product.variants]
        for start in range(0, len(skus), _SKUS_AT_ONCE):
            await self._store.put_stock(await self._stock(skus[start : start + _SKUS_AT_ONCE]))
        await self._store.put_prices(prices)
        await self._store.put_products([wire.product_told(product, int(product.etag)) for product in products])

    async def _stock(self, skus: Sequence[str]) -> list[StockTold]:
        lines = [inventory_pb2.StockLine(sku=sku, quantity=1) for sku in skus]
        answer = await self._inventory.BatchCheckStock(inventory_pb.BatchCheckStockRequest(lines=lines), timeout=_SECONDS)
        return [StockTold(found.sku, _UNTOLD, found.in_stock) for found in answer.availabilities]
