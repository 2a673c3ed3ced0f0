"""What an answer tells the edge in headers: for how long it is good, a name for its content, where to find what it made.

Which answers do, the protos say (bazaar/type/v1/method_options.proto). For caches see RFC 9111: what is answered to a user nobody keeps,
because it may show more than others see.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import reduce
from typing import Any
from urllib.parse import quote

from google.protobuf.descriptor import Descriptor

CACHE_CONTROL, ETAG, LOCATION = "cache-control", "etag", "location"

Headers = tuple[tuple[str, str], ...]
Announce = Callable[[Any, Any, bool], Headers]
"""Makes the headers of a request's response; the last argument says whether a user asked."""

_FIELD = re.compile(r"\{([^}]+)\}")


def caching(response: Descriptor, seconds: int) -> Announce:
    """For a method whose responses are good for so many seconds; none for a response that says that something is missing (`degraded`)."""
    is_degradable, is_dated = "degraded" in response.fields_by_name, "as_of" in response.fields_by_name
    public = f"public, max-age={seconds}"

    def headers(request: Any, message: Any, has_user: bool) -> Headers:
        if is_degradable and message.degraded:
            return ()
        return ((CACHE_CONTROL, "private, no-cache" if has_user else public), (ETAG, _etag(message, is_dated)))

    return headers


def locating(response: Descriptor, template: str) -> Announce:
    """For a method that makes something: `/v1/orders/{order.order_id}`, with fields of the response, else of the request."""

    def headers(request: Any, message: Any, has_user: bool) -> Headers:
        def value(field: re.Match[str]) -> str:
            first, *rest = field[1].split(".")
            of = message if first in response.fields_by_name else request
            return quote(str(reduce(getattr, rest, getattr(of, first))), safe="")

        return ((LOCATION, _FIELD.sub(value, template)),)

    return headers


def _etag(message: Any, is_dated: bool) -> str:
    """Weak: when an answer was read (`as_of`) makes it no other answer."""
    if is_dated:
        dated, message = message, type(message)()
        message.CopyFrom(dated)
        message.ClearField("as_of")
    return f'W/"{hashlib.blake2b(message.SerializeToString(deterministic=True), digest_size=12).hexdigest()}"'
