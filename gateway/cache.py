"""The edge's cache of answers that are good for everybody.

It answers in the place of all filters after it. A request with a token passes it by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.headers import http_filter

CACHE = "cache"


def cache_filter() -> dict[str, Any]:
    """What answers from the cache (cache.lua); only for routes that turn it on."""
    code = Path(__file__).with_name("cache.lua").read_text()
    return {**http_filter("lua", "Lua", default_source_code={"inline_string": code}), "name": CACHE, "disabled": True}
