"""The page where a customer pays; it works without scripts."""

from __future__ import annotations

from html import escape

from sandbox.model import AUTHORIZED, CAPTURED, FAILED, PENDING, REFUNDED, VOIDED, Payment

_EXPONENTS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "OMR": 3, "JOD": 3, "TND": 3}
"""Decimals of currencies that don't have two (ISO 4217)."""

_SAYS = {
    PENDING: "Nothing has been paid yet.",
    FAILED: "The payment was declined. You may try again.",
    AUTHORIZED: "Thank you: your card is charged when the shop confirms.",
    CAPTURED: "Thank you: it is paid.",
    VOIDED: "The shop has given this payment up; it can't be paid any more.",
    REFUNDED: "The money has gone back to you.",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Pay {amount}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 3rem auto; padding: 0 1rem }}
button {{ font: inherit; padding: .6rem 1.2rem; margin-right: .5rem }}
small {{ color: #555 }}
</style>
<h1>{amount}</h1>
<p>By {method}, for order {reference}.</p>
<p role="status">{says}</p>
{form}<p><small>This is a sandbox: no money moves.</small></p>
</html>
"""

_FORM = """<form method="post">
<button name="outcome" value="pay">Pay</button>
<button name="outcome" value="decline">Decline</button>
</form>
"""


def page(payment: Payment, *, is_late: bool) -> str:
    """The page of a payment as it stands.

    Args:
        is_late: what was voided can still be paid.
    """
    is_open = payment.state in (PENDING, FAILED) or (is_late and payment.state == VOIDED)
    return _PAGE.format(
        amount=escape(_shown(payment)),
        method=escape(payment.method),
        reference=escape(payment.reference),
        says=_SAYS[payment.state],
        form=_FORM if is_open else "",
    )


def _shown(payment: Payment) -> str:
    decimals = _EXPONENTS.get(payment.currency, 2)
    return f"{payment.currency} {payment.minor_units / 10**decimals:,.{decimals}f}"
