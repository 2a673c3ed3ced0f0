"""What of an answer may be kept, and a name for its content.

A method says for how long (`cacheable_seconds` in bazaar/type/v1/method_options.proto); the edge and whoever stands before it go by these
headers (RFC 9111). What is answered to a user nobody keeps, because it may show more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor

CACHE_CONTROL, ETAG = "cache-control", "etag"

Headers = tuple[tuple[str, str], ...]


def caching_of(response: Descriptor, seconds: int) -> Callable[[Any, bool], Headers]:
    """For a method whose responses are good for so many seconds: makes the headers of one of them.

    The function returned takes the response, and whether it was made for a user. It returns none for a response that says itself that
    something is missing (`degraded`).
    """
    is_degradable, is_dated = "degraded" in response.fields_by_name, "as_of" in response.fields_by_name
    public = f"public, max-age={seconds}"

    def headers(message: Any, has_user: bool) -> Headers:
        if is_degradable and message.degraded:
            return ()
        control = "private, no-cache" if has_user else public
        return ((CACHE_CONTROL, control), (ETAG, _etag(message, is_dated)))

    return headers


def _etag(message: Any, is_dated: bool) -> str:
    """Weak: when an answer was read (`as_of`) makes it no other answer."""
    if is_dated:
        dated, message = message, type(message)()
        message.CopyFrom(dated)
        message.ClearField("as_of")
    return f'W/"{hashlib.blake2b(message.SerializeToString(deterministic=True), digest_size=12).hexdigest()}"'
