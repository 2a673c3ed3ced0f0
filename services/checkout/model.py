"""The rules of placing an order: what is bought, whether a quote fits, what ends an attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, Unavailable
from services.kit.money import CurrencyMismatch, Money

ON_DELIVERY = "ON_DELIVERY"
PREPAID = "PREPAID"


class CartEmpty(FailedPrecondition):
    """There is nothing to order."""

    reason = "CART_EMPTY"


class MethodUnsupported(InvalidArgument):
    """The shop doesn't take this payment method now."""

    reason = "PAYMENT_METHOD_UNSUPPORTED"


class QuoteInvalid(FailedPrecondition):
    """The quote was made for another purchase."""

    reason = "QUOTE_INVALID"


class PriceChanged(FailedPrecondition):
    """It costs something else than the customer expects."""

    reason = "PRICE_CHANGED"


class TotalInvalid(InvalidArgument):
    """No order costs less than nothing."""

    reason = "PRICE_INVALID"


class OrderCancelled(FailedPrecondition):
    """The order ended while it was being placed."""

    reason = "ORDER_CANCELLED"


class NothingToPay(FailedPrecondition):
    """The order doesn't wait for money."""

    reason = "NOTHING_TO_PAY"


class GatewayAway(Unavailable):
    """The gateway hasn't said yet where to pay."""

    reason = "GATEWAY_AWAY"


class RequestInProgress(Aborted):
    """Another attempt of the same request holds the order, and the caller's time was up first."""

    reason = "REQUEST_IN_PROGRESS"


def total_by_sku(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Quantities of the same SKU added up, in the order the SKUs came."""
    totals: dict[str, int] = {}
    for sku, quantity in lines:
        totals[sku] = totals.get(sku, 0) + quantity
    return totals


def method_class(payment_method: str) -> str:
    """What a price may depend on: paid on delivery, or before."""
    return ON_DELIVERY if payment_method == "COD" else PREPAID


def check_expected(total: Money, expected: Money | None) -> None:
    """Refuses to charge anything but what the customer has seen, where they say what that is.

    Raises:
        TotalInvalid: a negative total is expected.
        CurrencyMismatch: the totals are in different currencies.
        PriceChanged: the amounts differ.
    """
    if expected is None:
        return
    if expected.minor_units < 0:
        raise TotalInvalid("The expected total is negative.", expected=_plain(expected))
    if expected.currency != total.currency:
        raise CurrencyMismatch("The total is in another currency.", wanted=expected.currency, priced=total.currency)
    if expected != total:
        raise PriceChanged("The total has changed.", expected=_plain(expected), total=_plain(total))


def check_purpose(quoted: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuses a quote that was made for something else.

    Args:
        quoted, wanted: what each is for, by aspect: country, state, coupon, method class, lines.

    Raises:
        QuoteInvalid: names the first aspect that differs.
    """
    for aspect, value in wanted.items():
        if quoted[aspect] != value:
            raise QuoteInvalid(f"The quote was made for another {aspect}.", why=aspect)


def _plain(amount: Money) -> str:
    return f"{amount.minor_units} {amount.currency}"
