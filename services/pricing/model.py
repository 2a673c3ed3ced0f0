"""The rules of prices: which rate applies, and what an order costs. Whole minor units throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.money import CurrencyMismatch, exponent
from services.kit.values import value

MAX_QUANTITY = 100_000
"""Units of one SKU in an order, all its lines together."""

ANY = "*"
ANY_CURRENCY = "XXX"
"""ISO 4217's code for no currency: a shipping rate for every currency without one of its own."""

_LARGEST = 2**63 - 1
_WHOLE = 10_000
"""Basis points in one."""


class PriceNotFound(FailedPrecondition):
    """The SKU has no price in this currency."""

    reason = "PRICE_NOT_FOUND"


class PriceInvalid(InvalidArgument):
    """The amount is negative, or larger than an int64."""

    reason = "PRICE_INVALID"


class SkuNotFound(NotFound):
    """No such SKU, or its product isn't on sale."""

    reason = "SKU_NOT_FOUND"


class CouponInvalid(InvalidArgument):
    """No such coupon, or it can't be used here."""

    reason = "COUPON_INVALID"


class QuantityTooLarge(InvalidArgument):
    """The lines of one SKU come to more than 100,000 units."""

    reason = "VALIDATION_FAILED"


@value
class Price:
    """A SKU's list price in one currency, in minor units, without tax."""

    sku: str
    currency: str
    minor_units: int


@value
class TaxRate:
    """A row of the tax table; `*` in a column stands for what has no row of its own."""

    country: str
    state: str
    tax_class: str
    basis_points: int


@value
class ShippingRate:
    """What sending an order costs, in minor units of `currency` (of the order's, for XXX)."""

    country: str
    currency: str
    base: int
    """Once an order."""
    per_kilogram: int
    """For every kilogram begun."""
    free_from: int
    """Goods worth this much ship free; 0: none do."""


@value
class Good:
    """What the catalogue says of a SKU on sale."""

    sku: str
    product_id: str
    title: str
    category_id: str
    tax_class: str
    weight_grams: int


@value
class Line:
    """One SKU of an order, in minor units of the order's currency."""

    good: Good
    quantity: int
    unit_price: int
    net: int
    tax: int


@value
class Bill:
    """What an order costs, in minor units of `currency`; total = subtotal + shipping + tax."""

    currency: str
    lines: tuple[Line, ...]
    subtotal: int
    shipping: int
    tax: int
    total: int


@value
class Rates:
    """The tax and shipping tables, ready to be asked."""

    taxes: Mapping[tuple[str, str, str], int]
    """Basis points by country, state in capitals, and tax class."""
    shipping: Mapping[tuple[str, str], ShippingRate]
    """By country and currency."""

    @classmethod
    def of(cls, taxes: Iterable[TaxRate], shipping: Iterable[ShippingRate]) -> Rates:
        return cls(
            {(rate.country, rate.state.upper(), rate.tax_class): rate.basis_points for rate in taxes},
            {(rate.country, rate.currency): rate for rate in shipping},
        )

    def tax_rate(self, country: str, state: str, tax_class: str) -> int:
        """Basis points of the most specific row; 0 when there is none.

        A row that names the country goes before any that doesn't, among those one that names the state, then one that names the class:
        so (US, CA, *) decides over (US, *, exempt).
        """
        for named_country in (country, ANY):
            for named_state in (state.strip().upper(), ANY):
                for named_class in (tax_class, ANY):
                    found = self.taxes.get((named_country, named_state, named_class))
                    if found is not None:
                        return found
        return 0

    def shipping_rate(self, country: str, currency: str) -> ShippingRate:
        """The most specific row: one of the currency before one of any, then one of the country before one of any; free without a row."""
        for named_currency in (currency, ANY_CURRENCY):
            for named_country in (country, ANY):
                if found := self.shipping.get((named_country, named_currency)):
                    return found
        return ShippingRate(ANY, ANY_CURRENCY, 0, 0, 0)


def share(amount: int, basis_points: int) -> int:
    """So many hundredths of a per cent of an amount, rounded half to even; exact."""
    whole, rest = divmod(amount * basis_points, _WHOLE)
    is_up = rest * 2 > _WHOLE or (rest * 2 == _WHOLE and whole % 2 == 1)
    return whole + is_up


def shipping_cost(rate: ShippingRate, goods: int, weight_grams: int) -> int:
    """What sending goods of this worth (minor units) and weight costs; a kilogram begun counts whole."""
    if rate.free_from and goods >= rate.free_from:
        return 0
    return rate.base + -(-weight_grams // 1000) * rate.per_kilogram


def add_up(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Units by SKU, in the order in which the SKUs first appear.

    Raises:
        QuantityTooLarge: more than 100,000 of one.
    """
    units: dict[str, int] = {}
    for sku, quantity in lines:
        units[sku] = units.get(sku, 0) + quantity
        if units[sku] > MAX_QUANTITY:
            why = f"more than {MAX_QUANTITY} units of {sku} in all"
            raise QuantityTooLarge(why, violations=[("lines", why)], sku=sku)
    return units


def refuse_coupon(code: str) -> None:
    """No coupon is known yet.

    Raises:
        CouponInvalid: a code was given.
    """
    if code:
        raise CouponInvalid("no such coupon", coupon=code)


def unit_prices(skus: Sequence[str], prices: Iterable[Price], currency: str) -> tuple[str, dict[str, int]]:
    """The currency of an order and the price of each of its SKUs in it.

    Args:
        skus: at least one.
        prices: of these SKUs in any currency; of one SKU in the order in which its currencies were set.
        currency: the currency that the first SKU was priced in first, when empty.

    Raises:
        UnknownCurrency: not in ISO 4217.
        PriceNotFound: a SKU has no price in the currency.
    """
    known: dict[str, dict[str, int]] = {}
    for price in prices:
        known.setdefault(price.sku, {})[price.currency] = price.minor_units
    if currency:
        exponent(currency)
    chosen = currency or next(iter(known.get(skus[0], {})), "")
    found: dict[str, int] = {}
    for sku in skus:
        amount = known.get(sku, {}).get(chosen)
        if amount is None:
            raise PriceNotFound(f"{sku} has no price{f' in {chosen}' if chosen else ''}", sku=sku, currency=chosen)
        found[sku] = amount
    return chosen, found


def bill(
    units: Mapping[str, int],
    goods: Mapping[str, Good],
    prices: Mapping[str, int],
    currency: str,
    rates: Rates,
    country: str,
    state: str,
) -> Bill:
    """What so many units of each SKU cost, sent to a region. Tax is reckoned line by line; shipping bears none.

    Raises:
        PriceInvalid: an amount is larger than an int64.
    """
    lines = tuple(_line(goods[sku], quantity, prices[sku], rates, country, state) for sku, quantity in units.items())
    subtotal, tax = sum(line.net for line in lines), sum(line.tax for line in lines)
    weight = sum(line.good.weight_grams * line.quantity for line in lines)
    shipping = shipping_cost(rates.shipping_rate(country, currency), subtotal, weight)
    total = subtotal + shipping + tax
    # Nothing is negative, so that no part is larger than the whole.
    if total > _LARGEST:
        raise PriceInvalid("the order's total is too large", sku=max(lines, key=lambda line: line.net).good.sku)
    return Bill(currency, lines, subtotal, shipping, tax, total)


def check_price(price: Price) -> None:
    """Raises:
    PriceInvalid: it is negative.
    UnknownCurrency: its currency isn't in ISO 4217.
    """
    exponent(price.currency)
    if price.minor_units < 0:
        raise PriceInvalid(f"the price of {price.sku} is negative", sku=price.sku)


def shipping_rate_of(country: str, amounts: Sequence[tuple[str, int]]) -> ShippingRate:
    """A shipping rate from (currency, minor units) of its base, price per kilogram and free-from amount.

    Raises:
        CurrencyMismatch: the currencies differ.
        UnknownCurrency: it isn't in ISO 4217, nor XXX.
        PriceInvalid: an amount is negative.
    """
    (currency, base), (_, per_kilogram), (_, free_from) = amounts
    for other, minor_units in amounts:
        if other != currency:
            raise CurrencyMismatch("a shipping rate has one currency", wanted=currency, priced=other)
        if minor_units < 0:
            raise PriceInvalid("an amount of a shipping rate is negative", country=country)
    if currency != ANY_CURRENCY:
        exponent(currency)
    return ShippingRate(country, currency, base, per_kilogram, free_from)


def _line(good: Good, quantity: int, unit_price: int, rates: Rates, country: str, state: str) -> Line:
    net = unit_price * quantity
    return Line(good, quantity, unit_price, net, share(net, rates.tax_rate(country, state, good.tax_class)))
