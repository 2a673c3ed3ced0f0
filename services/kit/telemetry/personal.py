"""What logs must not hold: fields that name something personal, and texts that look it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

REDACTED = "[redacted]"

_PERSONAL_WORD = re.compile(
    r"e?mail|phone|mobile|msisdn|address|line1|line2|street|city|pincode|postcode|zip|firstname|lastname|fullname|username|recipient|dob"
    r"|card|pan|cvv|iban|vpa|upi|token|jwt|password|passwd|secret|authorization|cookie|otp|pin|body|request|response|payload"
)
_NAMES = frozenset({"name", "first_name", "last_name", "full_name", "user_name", "customer_name", "display_name"})
"""A field that is a person's name; `service_name`, `topic_name` and the like are not."""
_HARMLESS = frozenset({"request_id", "request_count", "request_bytes", "response_bytes", "payload_bytes"})

_PERSONAL_TEXT = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # email
    r"|(?<![\w.-])\+\d{1,3}[\s-]?\d{4,5}[\s-]?\d{5,6}(?![\w-])"  # phone, international
    r"|(?<![\w.-])(?:\d{4}[ -]){3}\d{1,7}(?![\w-])"  # card, in groups
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # JWT
    r"|(?<=://)[^\s/@]*:[^\s/@]+(?=@)"  # credentials in a URL
)
_DIGITS = re.compile(r"(?<![\w.-])\d{13,19}(?![\w-])")
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def is_personal(field: str) -> bool:
    """Whether a field of this name may hold something personal: `email`, `shippingAddress`, `card_number`, `access_token`."""
    words = [word.lower() for word in _WORDS.findall(field)]
    snake = "_".join(words)
    return snake not in _HARMLESS and (snake in _NAMES or any(map(_PERSONAL_WORD.fullmatch, words)))


def redacted_text(text: str) -> str:
    """The text without emails, international phone numbers, card numbers, JWTs and a URL's credentials."""
    return _DIGITS.sub(lambda match: REDACTED if is_card(match[0]) else match[0], _PERSONAL_TEXT.sub(REDACTED, text))


def redacted(value: Any) -> Any:
    """The value with every personal field and text in it replaced, however deep."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        fields = cast(Mapping[Any, Any], value)
        return {key: REDACTED if is_personal(str(key)) else redacted(inner) for key, inner in fields.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(inner) for inner in cast(list[Any], value)]
    return value


def is_card(digits: str) -> bool:
    """Whether 13 to 19 digits pass the check of ISO/IEC 7812-1 (Luhn), as card numbers do."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0
