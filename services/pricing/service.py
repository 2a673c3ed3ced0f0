"""Pricing's gRPC face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2_grpc
from bazaar.pricing.v1 import pricing_service_pb2 as pb
from services.kit.clock import Clock
from services.kit.ids import uuid7
from services.kit.money import exponent
from services.kit.rpc import calls
from services.kit.secrets import Secrets
from services.pricing import model, seal, wire
from services.pricing.model import Good, SkuNotFound
from services.pricing.seal import QUOTE_LIFETIME, QuoteInvalid
from services.pricing.store import PriceStore, RateStore

CATALOG_TIMEOUT_SECONDS = 5.0
KEYRING = "quote"
PREPAID = "PREPAID"

_QUOTED_FIELDS = FieldMask(
    paths=["product_id", "title", "category_id", "tax_class", "state", "variants.sku", "variants.title", "variants.weight_grams"]
)


class PricingServicer(pricing_service_pb2_grpc.PricingServiceServicer):
    def __init__(
        self,
        prices: PriceStore,
        rates: RateStore,
        catalog: catalog_service_pb2_grpc.CatalogServiceAsyncStub,
        secrets: Secrets,
        clock: Clock,
    ) -> None:
        self._prices = prices
        self._rates = rates
        self._catalog = catalog
        self._secrets = secrets
        self._clock = clock

    async def BatchSetPrices(self, request: pb.BatchSetPricesRequest, context: Any) -> pb.BatchSetPricesResponse:
        prices = [wire.price_from(message) for message in request.prices]
        for price in prices:
            model.check_price(price)
        now = self._clock()
        await self._prices.set_prices(prices, now)
        return pb.BatchSetPricesResponse(prices=[wire.price_to_proto(price, now) for price in prices])

    async def BatchGetPrices(self, request: pb.BatchGetPricesRequest, context: Any) -> pb.BatchGetPricesResponse:
        if request.currency:
            exponent(request.currency)
        shown: dict[str, pricing_pb2.Price] = {}
        for price, updated_at in await self._prices.prices(request.skus):
            if price.sku not in shown and price.currency == (request.currency or price.currency):
                shown[price.sku] = wire.price_to_proto(price, updated_at)
        return pb.BatchGetPricesResponse(prices=shown.values())

    async def CreateQuote(self, request: pb.CreateQuoteRequest, context: Any) -> pb.CreateQuoteResponse:
        model.refuse_coupon(request.coupon_code)
        units = model.add_up((line.sku, line.quantity) for line in request.lines)
        skus = list(units)
        # Under way while the prices are read.
        request_of_goods = catalog_service_pb2.BatchGetProductsRequest(skus=skus, read_mask=_QUOTED_FIELDS)
        asked = self._catalog.BatchGetProducts(request_of_goods, timeout=CATALOG_TIMEOUT_SECONDS)
        prices, rates = await self._prices.prices(skus), await self._rates.rates()
        goods = _on_sale(await asked, skus)
        currency, unit_prices = model.unit_prices(skus, [price for price, _ in prices], request.currency)
        quote = wire.quote_to_proto(model.bill(units, goods, unit_prices, currency, rates, request.country, request.state))
        quote.quote_id = uuid7()
        quote.user_id = _user_id()
        quote.country, quote.state = request.country, request.state
        quote.method_class = request.method_class or PREPAID
        quote.expire_time.FromDatetime(self._clock() + QUOTE_LIFETIME)
        payload = quote.SerializeToString()
        key_id, mac = seal.sign(payload, self._secrets.keyring(KEYRING))
        return pb.CreateQuoteResponse(quote=quote, signed_quote=pricing_pb2.SignedQuote(payload=payload, key_id=key_id, mac=mac))

    async def VerifyQuote(self, request: pb.VerifyQuoteRequest, context: Any) -> pb.VerifyQuoteResponse:
        signed = request.signed_quote
        seal.check_signature(signed.payload, signed.key_id, signed.mac, self._secrets.keyring(KEYRING))
        try:
            quote = pricing_pb2.Quote.FromString(signed.payload)
        except DecodeError:
            raise QuoteInvalid("forged") from None
        expires_at = quote.expire_time.ToDatetime(self._clock().tzinfo)
        seal.check_holder(quote.user_id, expires_at, asked_by=_user_id(), now=self._clock())
        return pb.VerifyQuoteResponse(quote=quote)

    async def SetTaxRate(self, request: pb.SetTaxRateRequest, context: Any) -> pb.SetTaxRateResponse:
        rate = wire.tax_rate_from(request.rate)
        await self._rates.set_tax_rate(rate)
        return pb.SetTaxRateResponse(rate=wire.tax_rate_to_proto(rate))

    async def ListTaxRates(self, request: pb.ListTaxRatesRequest, context: Any) -> pb.ListTaxRatesResponse:
        return pb.ListTaxRatesResponse(rates=[wire.tax_rate_to_proto(rate) for rate in await self._rates.tax_rates()])

    async def SetShippingRate(self, request: pb.SetShippingRateRequest, context: Any) -> pb.SetShippingRateResponse:
        rate = wire.shipping_rate_from(request.rate)
        await self._rates.set_shipping_rate(rate)
        return pb.SetShippingRateResponse(rate=wire.shipping_rate_to_proto(rate))

    async def ListShippingRates(self, request: pb.ListShippingRatesRequest, context: Any) -> pb.ListShippingRatesResponse:
        return pb.ListShippingRatesResponse(rates=[wire.shipping_rate_to_proto(rate) for rate in await self._rates.shipping_rates()])


def _on_sale(answer: catalog_service_pb2.BatchGetProductsResponse, skus: Sequence[str]) -> dict[str, Good]:
    """What is on sale, by SKU.

    Raises:
        SkuNotFound: one of them isn't.
    """
    on_sale = (product for product in answer.products if product.state == catalog_pb2.Product.ACTIVE)
    goods = {good.sku: good for product in on_sale for good in wire.goods_from(product)}
    for sku in skus:
        if sku not in goods:
            raise SkuNotFound(f"{sku} is not on sale", sku=sku)
    return goods


def _user_id() -> str:
    """Whom a quote is for; empty for a guest."""
    principal = calls.current().principal
    return principal.id if principal.kind == "user" else ""
