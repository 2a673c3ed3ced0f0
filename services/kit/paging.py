"""Page tokens (https://google.aip.dev/158): opaque, signed, and good for one query only.

pages = PageTokens(kit.secrets)
query = f"carts.ListCarts {user_id}"
after = pages.decode(query, request.page_token)      # [] on the first page
...
response.next_page_token = pages.encode(query, [created_at, cart_id])
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import cast

import orjson

from services.kit.errors import InvalidArgument
from services.kit.secrets import Secrets

REACHABLE_BY_PAGE = 10_000
"""Results that a page by its number reaches: skipping costs more the further it goes."""

_MAC_BYTES = 16


class PageOutOfRange(InvalidArgument):
    """Only the first 10,000 results can be reached by a page's number."""

    reason = "PAGE_OUT_OF_RANGE"


class PageTokenInvalid(InvalidArgument):
    """The token isn't one of ours, or belongs to another query."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("The page token isn't one that this query gave.", violations=[("page_token", "is not a token of this query")])


class PageTokens:
    """Turns the last position of a page into a token and back; signed with the keyring "pages", whose older keys stay good."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def encode(self, query: str, position: Sequence[str | int]) -> str:
        """The token of the page after `position`.

        Args:
            query: all that decides what is listed and in which order: the method, the filters, whose list it is. Not the page size.
            position: sort key of the last row shown; readable by whoever decodes the token, so nothing secret.
        """
        keyring = self._secrets.keyring("pages")
        payload = orjson.dumps([keyring.current_id, *position])
        return base64.urlsafe_b64encode(_mac(keyring.current, query, payload) + payload).rstrip(b"=").decode()

    def decode(self, query: str, token: str) -> list[str | int]:
        """The position that a token was made for; empty for the empty token, which means the first page.

        Raises:
            PageTokenInvalid: it was altered, made by somebody else or for another query, or its key is retired.
        """
        if not token:
            return []
        try:
            content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            mac, payload = content[:_MAC_BYTES], content[_MAC_BYTES:]
            key_id, *position = cast("list[str | int]", orjson.loads(payload))
            key = self._secrets.keyring("pages").keys[cast("str", key_id)]
        except (binascii.Error, orjson.JSONDecodeError, ValueError, TypeError, KeyError):
            raise PageTokenInvalid from None
        if not hmac.compare_digest(mac, _mac(key, query, payload)):
            raise PageTokenInvalid
        return position


def skipped_before(page: int, page_size: int) -> int:
    """How many results come before a page; pages count from 1.

    Raises:
        PageOutOfRange: it ends beyond the first 10,000 results.
    """
    if page * page_size > REACHABLE_BY_PAGE:
        raise PageOutOfRange(f"only the first {REACHABLE_BY_PAGE} results can be reached by page; use page tokens", page=str(page))
    return (page - 1) * page_size


def _mac(key: bytes, query: str, payload: bytes) -> bytes:
    # Hashed first, so that no query can run over into the payload.
    return hmac.digest(key, hashlib.sha256(query.encode()).digest() + payload, "sha256")[:_MAC_BYTES]
