"""The catalogue's gRPC face."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import grpc
import structlog

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2_grpc
from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.pricing.v1 import pricing_service_pb2, pricing_service_pb2_grpc
from services.catalog import model, wire
from services.catalog.categories import CategoryStore
from services.catalog.model import Product, ProductNotFound, State
from services.catalog.store import ProductStore, Section
from services.kit.clock import Clock
from services.kit.errors import DomainError
from services.kit.ids import uuid7
from services.kit.paging import PageTokens, skipped_before
from services.kit.rpc import calls
from services.kit.rpc.validation import check

PRICING_TIMEOUT_SECONDS = 0.5
"""A page without prices is better than a late one."""

_SKUS_PER_CALL = 1000
_CHECKED_AT_ONCE = 32
_MOST_BYTES = 3 * 1024 * 1024
"""Of the products of one page: an answer may have 4 MiB, a product 1 MB."""

_PRICE_FIELDS = frozenset({"price", "variants.price"})
_Shown = tuple[Product, catalog_pb2.Product]
_log = structlog.get_logger("bazaar.catalog")


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    def __init__(
        self,
        products: ProductStore,
        categories: CategoryStore,
        pricing: pricing_service_pb2_grpc.PricingServiceAsyncStub,
        pages: PageTokens,
        clock: Clock,
    ) -> None:
        self._products = products
        self._categories = categories
        self._pricing = pricing
        self._pages = pages
        self._clock = clock

    async def GetProduct(self, request: pb.GetProductRequest, context: Any) -> pb.GetProductResponse:
        product = await self._visible(request.product_id)
        return pb.GetProductResponse(product=await self._priced(product, request.currency))

    async def ListVariants(self, request: pb.ListVariantsRequest, context: Any) -> pb.ListVariantsResponse:
        product = await self._visible(request.product_id)
        priced = await self._priced(product, request.currency)
        return pb.ListVariantsResponse(variants=priced.variants)

    async def ListProducts(self, request: pb.ListProductsRequest, context: Any) -> pb.ListProductsResponse:
        fields = model.readable(request.read_mask.paths)
        section, query = self._section(request)
        if request.category:
            await self._categories.category(request.category)
        page, has_more = await self._page(section, request.page_size or model.DEFAULT_PAGE_SIZE, fields, is_cut=not request.page)
        await self._put_prices(page, fields, request.currency)
        return pb.ListProductsResponse(
            products=[message for _, message in page],
            next_page_token=self._pages.encode(query, [page[-1][0].product_id]) if has_more else "",
        )

    async def BatchGetProducts(self, request: pb.BatchGetProductsRequest, context: Any) -> pb.BatchGetProductsResponse:
        fields = model.readable(request.read_mask.paths) - _PRICE_FIELDS
        products = await self._products.lookup.products(request.product_ids, request.skus, fields)
        return pb.BatchGetProductsResponse(products=[wire.to_proto(product, fields) for product in products])

    async def CreateProduct(self, request: pb.CreateProductRequest, context: Any) -> pb.CreateProductResponse:
        product_id = request.product.product_id or uuid7()
        product = model.completed(wire.from_proto(request.product), product_id, self._now())
        answer = await self._products.create(product, calls.request_key(request), _created)
        return pb.CreateProductResponse.FromString(answer)

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Any) -> pb.UpdateProductResponse:
        fields = model.writable(request.update_mask.paths)
        given, now = wire.from_proto(request.product), self._now()

        def change(stored: Product) -> Product:
            result = model.changed(stored, given, fields, request.product.etag, now)
            check(wire.to_proto(result, model.READABLE))
            return result

        product = await self._products.change(given.product_id, change)
        return pb.UpdateProductResponse(product=await self._priced(product, currency=""))

    async def ImportProducts(self, request: pb.ImportProductsRequest, context: Any) -> pb.ImportProductsResponse:
        now = self._now()
        places: list[int] = []
        products: list[Product] = []
        refused: dict[int, DomainError] = {}
        for place, message in enumerate(request.products):
            if place % _CHECKED_AT_ONCE == 0:
                # A thousand take a tenth of a second, which other calls shouldn't wait for.
                await asyncio.sleep(0)
            try:
                check(message)
                products.append(model.completed(wire.from_proto(message), message.product_id or uuid7(), now))
                places.append(place)
            except DomainError as error:
                refused[place] = error
        admission = await self._products.put(products)
        refused |= {places[place]: error for place, error in admission.refused.items()}
        taken = len(products) - len(admission.refused)
        return pb.ImportProductsResponse(
            created_count=taken - admission.updated_count,
            updated_count=admission.updated_count,
            refusals=[_refusal(place, request.products[place].product_id, refused[place]) for place in sorted(refused)],
        )

    async def GetCategory(self, request: pb.GetCategoryRequest, context: Any) -> pb.GetCategoryResponse:
        category = await self._categories.category(request.category_id)
        return pb.GetCategoryResponse(category=wire.category_to_proto(category))

    async def ListCategories(self, request: pb.ListCategoriesRequest, context: Any) -> pb.ListCategoriesResponse:
        parent = None if request.all else request.parent_category_id
        query = f"catalog.ListCategories {'all' if parent is None else f'below {parent}'}"
        after = self._after(query, request.page_token)
        if parent:
            await self._categories.category(parent)
        size = request.page_size or model.DEFAULT_CATEGORY_PAGE_SIZE
        found = await self._categories.categories(parent, after, size + 1)
        return pb.ListCategoriesResponse(
            categories=[wire.category_to_proto(category) for category in found[:size]],
            next_page_token=self._pages.encode(query, [found[size - 1].category_id]) if len(found) > size else "",
        )

    async def _visible(self, product_id: str) -> Product:
        product = await self._products.product(product_id)
        if product.state not in _states_seen():
            raise ProductNotFound("no such product", product_id=product_id)
        return product

    def _section(self, request: pb.ListProductsRequest) -> tuple[Section, str]:
        states = _states_seen()
        query = f"catalog.ListProducts {','.join(state.value for state in states)} {request.category}"
        if request.page and request.page_token:
            raise model.ProductMalformed("page", "give either page or page_token")
        skip = skipped_before(request.page, request.page_size or model.DEFAULT_PAGE_SIZE) if request.page else 0
        return Section(states, request.category, self._after(query, request.page_token), skip), query

    def _after(self, query: str, token: str) -> str:
        position = self._pages.decode(query, token)
        return str(position[0]) if position else ""

    async def _page(self, section: Section, size: int, fields: Collection[str], *, is_cut: bool) -> tuple[list[_Shown], bool]:
        """Up to `size` products, fewer (but one at least) when they are large, and whether there are more.

        Args:
            is_cut: False for a page by number, which can't be short without losing what follows it.
        """
        page: list[_Shown] = []
        total_bytes = 0
        async with aclosing(self._products.section(section, fields)) as products:
            async for product in products:
                message = wire.to_proto(product, fields)
                total_bytes += message.ByteSize()
                if len(page) == size or (page and is_cut and total_bytes > _MOST_BYTES):
                    return page, True
                page.append((product, message))
        return page, False

    async def _priced(self, product: Product, currency: str) -> catalog_pb2.Product:
        message = wire.to_proto(product, model.READABLE)
        await self._put_prices([(product, message)], model.READABLE, currency)
        return message

    async def _put_prices(self, page: Sequence[_Shown], fields: Collection[str], currency: str) -> None:
        """Adds prices where the fields show them; none when pricing doesn't answer in time."""
        if _PRICE_FIELDS.isdisjoint(fields):
            return
        shown = slice(None) if "variants.price" in fields else slice(1)
        skus = [variant.sku for product, _ in page for variant in product.variants[shown]]
        chunks = (skus[start : start + _SKUS_PER_CALL] for start in range(0, len(skus), _SKUS_PER_CALL))
        try:
            answers = await asyncio.gather(*(self._ask(chunk, currency) for chunk in chunks))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise
            _log.warning("prices are missing from an answer", code=error.code().name)
            return
        prices = {price.sku: price for answer in answers for price in answer.prices}
        for product, message in page:
            wire.put_prices(message, product, fields, prices)

    async def _ask(self, skus: Sequence[str], currency: str) -> pricing_service_pb2.BatchGetPricesResponse:
        request = pricing_service_pb2.BatchGetPricesRequest(skus=skus, currency=currency)
        return await self._pricing.BatchGetPrices(request, timeout=PRICING_TIMEOUT_SECONDS)

    def _now(self) -> datetime:
        """To the millisecond, as MongoDB keeps it."""
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _states_seen() -> tuple[State, ...]:
    return model.states_seen_by(calls.current().principal.roles)


def _created(product: Product) -> bytes:
    message = wire.to_proto(product, model.READABLE)
    return pb.CreateProductResponse(product=message).SerializeToString()


def _refusal(place: int, product_id: str, error: DomainError) -> pb.ImportProductsResponse.Refusal:
    return pb.ImportProductsResponse.Refusal(index=place, product_id=product_id, reason=error.reason, message=error.message)
