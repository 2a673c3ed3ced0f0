"""Traceparents as they come, good and bad."""

SAMPLED = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
UNSAMPLED = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
MALFORMED = [
    "",
    None,
    "00-zz",
    SAMPLED.replace("ab", "xy"),
    SAMPLED.replace("ab", "AB"),
    "00-" + "0" * 32 + "-" + "cd" * 8 + "-01",
    "00-" + "ab" * 16 + "-" + "0" * 16 + "-01",
    "x" * 55,
]
