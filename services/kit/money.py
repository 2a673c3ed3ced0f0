"""Amounts of money in whole minor units (paise, cents): no floats anywhere."""

from __future__ import annotations

from services.kit.errors import InvalidArgument
from services.kit.values import value

_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE
        CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON
        RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {currency: digits for digits, currencies in _BY_EXPONENT.items() for currency in currencies.split()}


class CurrencyMismatch(InvalidArgument):
    """Two amounts of different currencies met; nothing here converts."""

    reason = "CURRENCY_MISMATCH"


class UnknownCurrency(InvalidArgument):
    """Not a currency of ISO 4217 that has minor units."""

    reason = "CURRENCY_UNKNOWN"


def exponent(currency: str) -> int:
    """How many decimals the currency has: 2 for INR, 0 for JPY (ISO 4217, list one).

    Raises:
        UnknownCurrency: no such currency.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not a currency of ISO 4217", currency=currency) from None


@value
class Money:
    """An amount in minor units of one currency; negative amounts are debts and refunds.

    Arithmetic and comparison raise CurrencyMismatch across currencies.
    """

    currency: str
    minor_units: int

    def __add__(self, other: Money) -> Money:
        return Money(self.currency, self.minor_units + self._same(other))

    def __sub__(self, other: Money) -> Money:
        return Money(self.currency, self.minor_units - self._same(other))

    def __mul__(self, times: int) -> Money:
        return Money(self.currency, self.minor_units * times)

    def __neg__(self) -> Money:
        return Money(self.currency, -self.minor_units)

    def __lt__(self, other: Money) -> bool:
        return self.minor_units < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor_units <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor_units > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor_units >= self._same(other)

    def display(self) -> str:
        """For logs and plain mails, "INR -1299.00"; shoppers' languages are formatted at the surface."""
        digits = exponent(self.currency)
        if digits == 0:
            return f"{self.currency} {self.minor_units}"
        whole, rest = divmod(abs(self.minor_units), 10**digits)
        sign = "-" if self.minor_units < 0 else ""
        return f"{self.currency} {sign}{whole}.{rest:0{digits}}"

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix", left=self.currency, right=other.currency)
        return other.minor_units


def zero(currency: str) -> Money:
    """Nothing, in that currency: where a sum starts."""
    return Money(currency, 0)
