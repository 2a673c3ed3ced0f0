"""Prices, rates and quotes as staff, customers and checkout see them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from uuid import uuid4

import pytest

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2_grpc
from bazaar.pricing.v1 import pricing_service_pb2 as pb
from bazaar.pricing.v1.pricing_pb2 import Price, ShippingRate, SignedQuote, TaxRate
from bazaar.type.v1.money_pb2 import Money
from services.kit.auth import ANONYMOUS, Principal
from services.kit.ids import uuid7
from services.kit.secrets import Secrets
from tests.serving import Client, refused, user
from tests.shop import ADMIN, Shop

ANN, BOB = user(uuid7()), user(uuid7())


def usd(minor_units: int) -> Money:
    return Money(currency_code="USD", minor_units=minor_units)


def line(sku: str, quantity: int) -> pb.CreateQuoteRequest.Line:
    return pb.CreateQuoteRequest.Line(sku=sku, quantity=quantity)


def pricing(shop: Shop, principal: Principal = ANONYMOUS, caller: str = "edge") -> Client:
    return shop.stub(pricing_service_pb2_grpc.PricingServiceStub, principal, caller)


async def set_prices(shop: Shop, *prices: Price) -> None:
    await pricing(shop, ADMIN).BatchSetPrices(pb.BatchSetPricesRequest(prices=prices))


async def quoted(shop: Shop, principal: Principal, *lines: tuple[str, int], **fields: Any) -> pb.CreateQuoteResponse:
    request = pb.CreateQuoteRequest(lines=[line(*each) for each in lines], **{"country": "ZZ", **fields})
    return await pricing(shop, principal).CreateQuote(request)


async def verified(shop: Shop, principal: Principal, signed: SignedQuote) -> pricing_pb2.Quote:
    return (await pricing(shop, principal, "checkout").VerifyQuote(pb.VerifyQuoteRequest(signed_quote=signed))).quote


async def test_prices_are_given_in_the_first_or_in_the_wanted_currency(shop: Shop) -> None:
    sku = uuid4().hex
    await set_prices(shop, Price(sku=sku, amount=usd(5)), Price(sku=sku, amount=Money(currency_code="INR", minor_units=400)))
    inside = pricing(shop, caller="catalog")

    usual = await inside.BatchGetPrices(pb.BatchGetPricesRequest(skus=[sku, "nope", sku]))
    rupees = await inside.BatchGetPrices(pb.BatchGetPricesRequest(skus=[sku], currency="INR"))
    yen = await inside.BatchGetPrices(pb.BatchGetPricesRequest(skus=[sku], currency="JPY"))

    assert [price.amount for price in usual.prices] == [usd(5)]
    assert [price.amount.minor_units for price in rupees.prices] == [400]
    assert list(yen.prices) == []


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(usd(-1), "PRICE_INVALID"), (Money(currency_code="XXY", minor_units=1), "CURRENCY_UNKNOWN")],
)
async def test_a_batch_with_an_impossible_price_sets_none(shop: Shop, amount: Money, reason: str) -> None:
    good, bad = uuid4().hex, uuid4().hex
    request = pb.BatchSetPricesRequest(prices=[Price(sku=good, amount=usd(1)), Price(sku=bad, amount=amount)])

    code, found, _ = await refused(pricing(shop, ADMIN).BatchSetPrices(request))

    assert (code, found) == ("INVALID_ARGUMENT", reason)
    assert list((await pricing(shop, caller="catalog").BatchGetPrices(pb.BatchGetPricesRequest(skus=[good, bad]))).prices) == []


async def test_customers_set_no_prices(shop: Shop) -> None:
    code, reason, _ = await refused(pricing(shop, ANN).BatchSetPrices(pb.BatchSetPricesRequest(prices=[Price(sku="x", amount=usd(1))])))

    assert (code, reason) == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")


async def test_prices_of_an_unknown_currency_are_not_asked_for(shop: Shop) -> None:
    request = pb.BatchGetPricesRequest(skus=["x"], currency="XXY")

    assert (await refused(pricing(shop, caller="catalog").BatchGetPrices(request)))[1] == "CURRENCY_UNKNOWN"


async def test_a_quote_says_what_each_line_and_the_whole_cost(shop: Shop) -> None:
    tv, book = await shop.stocked(price=10_001, path=("Home", "TVs")), await shop.stocked(price=333)
    await pricing(shop, ADMIN).SetTaxRate(pb.SetTaxRateRequest(rate=TaxRate(country="QA", state="*", tax_class="*", basis_points=1250)))
    rate = ShippingRate(country="QA", base=usd(500), per_kilogram=usd(100), free_from=usd(0))
    await pricing(shop, ADMIN).SetShippingRate(pb.SetShippingRateRequest(rate=rate))

    quote = (await quoted(shop, ANN, (tv, 1), (book, 1), (tv, 1), country="QA", state="DA")).quote

    # 12.5 % of 20,002 is 2,500.25; of 333 it is 41.625.
    assert [(each.sku, each.quantity, each.unit_price, each.net_amount, each.tax) for each in quote.lines] == [
        (tv, 2, usd(10_001), usd(20_002), usd(2500)),
        (book, 1, usd(333), usd(333), usd(42)),
    ]
    first = quote.lines[0]
    assert (first.product_id, first.category_id, first.tax_class, first.title[:5]) == (tv, "home.tvs", "standard", "Thing")
    assert (quote.subtotal, quote.discount, quote.shipping, quote.tax) == (usd(20_335), usd(0), usd(500), usd(2542))
    assert quote.total == usd(23_377)
    assert (quote.user_id, quote.country, quote.state, quote.method_class) == (ANN.id, "QA", "DA", "PREPAID")


async def test_a_quote_is_sealed_over_its_exact_bytes(shop: Shop) -> None:
    answer = await quoted(shop, ANN, (await shop.stocked(), 1), method_class="ON_DELIVERY")

    signed, keyring = answer.signed_quote, Secrets(shop.settings.secrets).keyring("quote")
    assert signed.mac == hmac.new(keyring.keys[signed.key_id], signed.payload, hashlib.sha256).digest()
    assert pricing_pb2.Quote.FromString(signed.payload) == answer.quote
    assert answer.quote.method_class == "ON_DELIVERY"


async def test_a_quote_can_be_verified_by_its_user(shop: Shop) -> None:
    answer = await quoted(shop, ANN, (await shop.stocked(), 1))

    assert await verified(shop, ANN, answer.signed_quote) == answer.quote


async def test_a_quote_of_another_user_or_of_a_guest_is_refused(shop: Shop) -> None:
    sku = await shop.stocked()

    for principal in (BOB, ANONYMOUS):
        answer = await quoted(shop, principal, (sku, 1))
        assert await refused(verified(shop, ANN, answer.signed_quote)) == ("FAILED_PRECONDITION", "QUOTE_INVALID", {"why": "user"})


async def test_an_altered_quote_is_refused(shop: Shop) -> None:
    answer = await quoted(shop, ANN, (await shop.stocked(), 1))
    answer.quote.total.minor_units = 1
    forged = SignedQuote(payload=answer.quote.SerializeToString(), key_id=answer.signed_quote.key_id, mac=answer.signed_quote.mac)

    assert await refused(verified(shop, ANN, forged)) == ("FAILED_PRECONDITION", "QUOTE_INVALID", {"why": "forged"})


async def test_an_expired_quote_is_refused(shop: Shop) -> None:
    answer = await quoted(shop, ANN, (await shop.stocked(), 1))
    keyring = Secrets(shop.settings.secrets).keyring("quote")
    answer.quote.expire_time.seconds -= 15 * 60
    payload = answer.quote.SerializeToString()
    old = SignedQuote(payload=payload, key_id=keyring.current_id, mac=hmac.digest(keyring.current, payload, "sha256"))

    assert await refused(verified(shop, ANN, old)) == ("FAILED_PRECONDITION", "QUOTE_INVALID", {"why": "expired"})


async def test_only_what_is_on_sale_is_quoted(shop: Shop) -> None:
    sku, draft = await shop.stocked(), f"draft-{uuid4().hex}"
    product = catalog_pb2.Product(product_id=draft, title="TV", category_path=["Toys"], state=catalog_pb2.Product.DRAFT)
    staff = shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)
    await staff.CreateProduct(catalog_service_pb2.CreateProductRequest(product=product))
    await set_prices(shop, Price(sku=draft, amount=usd(1)))

    for missing in ("nope", draft):
        assert await refused(quoted(shop, ANN, (sku, 1), (missing, 1))) == ("NOT_FOUND", "SKU_NOT_FOUND", {"sku": missing})


async def test_an_order_has_one_currency(shop: Shop) -> None:
    dollars, both = await shop.stocked(price=5), await shop.stocked(price=7)
    await set_prices(shop, Price(sku=both, amount=Money(currency_code="INR", minor_units=600)))

    rupees = (await quoted(shop, ANN, (both, 2), currency="INR")).quote
    error = await refused(quoted(shop, ANN, (both, 1), (dollars, 1), currency="INR"))

    assert (rupees.total.currency_code, rupees.total.minor_units) == ("INR", 1200)
    assert error == ("FAILED_PRECONDITION", "PRICE_NOT_FOUND", {"sku": dollars, "currency": "INR"})
    assert (await refused(quoted(shop, ANN, (both, 1), currency="XXY")))[1] == "CURRENCY_UNKNOWN"


async def test_no_coupon_is_taken(shop: Shop) -> None:
    sku = await shop.stocked()

    assert await refused(quoted(shop, ANN, (sku, 1), coupon_code="SALE10")) == (
        "INVALID_ARGUMENT",
        "COUPON_INVALID",
        {"coupon": "SALE10"},
    )


async def test_a_total_beyond_64_bits_is_refused(shop: Shop) -> None:
    sku = await shop.stocked(price=2**62)

    assert await refused(quoted(shop, ANN, (sku, 2))) == ("INVALID_ARGUMENT", "PRICE_INVALID", {"sku": sku})


async def test_lines_of_one_sku_come_to_100000_units_at_most(shop: Shop) -> None:
    sku = await shop.stocked(price=1)

    assert (await quoted(shop, ANN, (sku, 60_000), (sku, 40_000))).quote.lines[0].quantity == 100_000
    assert (await refused(quoted(shop, ANN, (sku, 60_000), (sku, 40_001))))[1] == "VALIDATION_FAILED"


async def test_text_that_is_nothing_postgresql_can_store_is_no_fault_of_ours(shop: Shop) -> None:
    sku = await shop.stocked(price=1)

    assert (await quoted(shop, ANN, (sku, 1), state="K\0A")).quote.state == "K\0A"
    assert list((await pricing(shop, caller="catalog").BatchGetPrices(pb.BatchGetPricesRequest(skus=["a\0b"]))).prices) == []
    rate = TaxRate(country="QA", state="K\0A", tax_class="*", basis_points=1)
    assert (await refused(pricing(shop, ADMIN).SetTaxRate(pb.SetTaxRateRequest(rate=rate))))[:2] == (
        "INVALID_ARGUMENT",
        "VALIDATION_FAILED",
    )


async def test_rates_are_listed_as_they_were_set(shop: Shop) -> None:
    staff = pricing(shop, ADMIN)
    tax = TaxRate(country="QB", state="X1", tax_class="books", basis_points=300)
    shipping = ShippingRate(country="QB", base=usd(1), per_kilogram=usd(2), free_from=usd(3))

    assert (await staff.SetTaxRate(pb.SetTaxRateRequest(rate=tax))).rate == tax
    assert (await staff.SetShippingRate(pb.SetShippingRateRequest(rate=shipping))).rate == shipping

    assert tax in (await staff.ListTaxRates(pb.ListTaxRatesRequest())).rates
    assert shipping in (await staff.ListShippingRates(pb.ListShippingRatesRequest())).rates


@pytest.mark.parametrize(
    ("base", "free_from", "reason"),
    [
        (usd(-1), usd(0), "PRICE_INVALID"),
        (usd(1), Money(currency_code="EUR"), "CURRENCY_MISMATCH"),
        (Money(currency_code="XXY", minor_units=1), usd(0), "CURRENCY_MISMATCH"),
    ],
)
async def test_an_impossible_shipping_rate_changes_nothing(shop: Shop, base: Money, free_from: Money, reason: str) -> None:
    staff = pricing(shop, ADMIN)
    rate = ShippingRate(country="QC", base=base, per_kilogram=usd(0), free_from=free_from)

    code, found, _ = await refused(staff.SetShippingRate(pb.SetShippingRateRequest(rate=rate)))

    assert (code, found) == ("INVALID_ARGUMENT", reason)
    assert "QC" not in [rate.country for rate in (await staff.ListShippingRates(pb.ListShippingRatesRequest())).rates]
