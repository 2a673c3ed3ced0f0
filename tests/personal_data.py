"""Looks for personal data where none may be: in what the shop traced and logged.

    assert personal_data_in(trace_directory, log_file, known=["asha@example.com", "12 MG Road"]) == []

Knows its patterns on its own, apart from what redacts logs, so that a hole there shows here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PATTERNS = {
    "email": re.compile(r"[A-Za-z0-9._%+-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
    "phone": re.compile(r"(?<![\w.+-])(?:\+|%2B)\d{1,3}[ -]?\d{3,5}[ -]?\d{4,6}(?!\w)|(?<![\w.-])[6-9]\d{4}[ -]\d{5}(?![\w-])"),
    "card": re.compile(r"(?<![\w.-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5})(?![\w.-])"),
    "token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    "password": re.compile(r"\$argon2\w*\$|://[^\s/@:\"]*:[^\s/@\"]+@"),
    "field": re.compile(
        r"\"(?:email|phone|mobile|password|secret|authorization|cookie|card(?:_?number)?|cvv|vpa|(?:access|refresh)_?token"
        r"|line1|line2|first_?name|last_?name|full_?name|(?:shipping|billing)?_?address)\"\s*:\s*\"(?!\[redacted\]|\"|127\.0\.0\.1\")",
        re.IGNORECASE,
    ),
}
_NUMBERS = re.compile(r"\"(?:start|end)\":\d{19}|\"(?:span|parent)_id\":\"[0-9a-f]{16}\"|\"getMore\":\d{13,19}|keyId: \d{13,19}")
"""Nanoseconds since 1970 have as many digits as a card number, and so does one random id of a span in two thousand, and nearly every one of
MongoDB's cursors and signing keys.
"""


def personal_data_in(*places: Path, known: Sequence[str] = ()) -> list[str]:
    """What was found, as "file:line: kind: text"; empty when all is well.

    Args:
        places: files, or directories whose .jsonl and .log files are read.
        known: what a test gave away as personal (an address's line, a person's name), found as it stands.
    """
    return [f"{path}:{number}: {found}" for path, number, line in _lines(places) for found in findings(line, known)]


def findings(text: str, known: Sequence[str] = ()) -> list[str]:
    """The same for one text, as "kind: text"."""
    text = _NUMBERS.sub("", text)
    found = [f"known: {value}" for value in known if value in text]
    for kind, pattern in PATTERNS.items():
        found += [f"{kind}: {match[0]}" for match in pattern.finditer(text) if kind != "card" or _is_card(match[0])]
    return found


def _lines(places: Iterable[Path]) -> Iterator[tuple[Path, int, str]]:
    for place in places:
        files = sorted([*place.rglob("*.jsonl"), *place.rglob("*.log")]) if place.is_dir() else [place]
        for path in files:
            with path.open(encoding="utf-8", errors="replace") as lines:
                yield from ((path, number, line) for number, line in enumerate(lines, 1))


def _is_card(text: str) -> bool:
    """Luhn's check, and a first digit that card networks use."""
    digits = [int(digit) for digit in text if digit.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6):
        return False
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0
