"""Prices, rates and quotes between their protos and the model."""

from __future__ import annotations

from datetime import datetime

from bazaar.catalog.v1 import catalog_pb2
from bazaar.pricing.v1 import pricing_pb2
from bazaar.type.v1 import money_pb2
from services.pricing.model import Bill, Good, Line, Price, ShippingRate, TaxRate, shipping_rate_of


def money(currency: str, minor_units: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)


def price_from(message: pricing_pb2.Price) -> Price:
    return Price(message.sku, message.amount.currency_code, message.amount.minor_units)


def price_to_proto(price: Price, updated_at: datetime) -> pricing_pb2.Price:
    message = pricing_pb2.Price(sku=price.sku, amount=money(price.currency, price.minor_units))
    message.update_time.FromDatetime(updated_at)
    return message


def tax_rate_from(message: pricing_pb2.TaxRate) -> TaxRate:
    return TaxRate(message.country, message.state.upper(), message.tax_class, message.basis_points)


def tax_rate_to_proto(rate: TaxRate) -> pricing_pb2.TaxRate:
    return pricing_pb2.TaxRate(country=rate.country, state=rate.state, tax_class=rate.tax_class, basis_points=rate.basis_points)


def shipping_rate_from(message: pricing_pb2.ShippingRate) -> ShippingRate:
    """Raises: what `shipping_rate_of` does."""
    amounts = [(amount.currency_code, amount.minor_units) for amount in (message.base, message.per_kilogram, message.free_from)]
    return shipping_rate_of(message.country, amounts)


def shipping_rate_to_proto(rate: ShippingRate) -> pricing_pb2.ShippingRate:
    return pricing_pb2.ShippingRate(
        country=rate.country,
        base=money(rate.currency, rate.base),
        per_kilogram=money(rate.currency, rate.per_kilogram),
        free_from=money(rate.currency, rate.free_from),
    )


def goods_from(product: catalog_pb2.Product) -> list[Good]:
    """What the catalogue says of each of a product's SKUs; a variant's title stands behind the product's."""
    return [
        Good(
            sku=variant.sku,
            product_id=product.product_id,
            title=f"{product.title}, {variant.title}" if variant.title else product.title,
            category_id=product.category_id,
            tax_class=product.tax_class,
            weight_grams=variant.weight_grams,
        )
        for variant in product.variants
    ]


def quote_to_proto(bill: Bill) -> pricing_pb2.Quote:
    """The amounts of a quote; who, where and how long are the caller's to fill in."""
    return pricing_pb2.Quote(
        lines=[_line_to_proto(line, bill.currency) for line in bill.lines],
        subtotal=money(bill.currency, bill.subtotal),
        discount=money(bill.currency, 0),
        shipping=money(bill.currency, bill.shipping),
        tax=money(bill.currency, bill.tax),
        total=money(bill.currency, bill.total),
    )


def _line_to_proto(line: Line, currency: str) -> pricing_pb2.QuoteLine:
    return pricing_pb2.QuoteLine(
        sku=line.good.sku,
        product_id=line.good.product_id,
        title=line.good.title,
        category_id=line.good.category_id,
        tax_class=line.good.tax_class,
        quantity=line.quantity,
        unit_price=money(currency, line.unit_price),
        net_amount=money(currency, line.net),
        tax=money(currency, line.tax),
    )
