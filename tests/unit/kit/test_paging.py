import base64
import json
from pathlib import Path

import pytest

from services.kit.paging import PageOutOfRange, PageTokenInvalid, PageTokens, skipped_before
from services.kit.secrets import Secrets


def keep_keys(directory: Path, current: str, **keys: bytes) -> None:
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
    replacement = directory / "pages.new"
    replacement.write_text(json.dumps({"current": current, "keys": encoded}))
    replacement.rename(directory / "pages.json")


@pytest.fixture
def pages(tmp_path: Path) -> PageTokens:
    keep_keys(tmp_path, "a", a=b"k" * 32)
    return PageTokens(Secrets(tmp_path))


def test_a_token_gives_its_position_back(pages: PageTokens):
    token = pages.encode("carts u1", ["2026-01-01T00:00:00Z", 7])

    assert pages.decode("carts u1", token) == ["2026-01-01T00:00:00Z", 7]


def test_no_token_is_the_first_page(pages: PageTokens):
    assert pages.decode("carts u1", "") == []


def test_a_token_fits_a_url(pages: PageTokens):
    token = pages.encode("carts u1", ["ÿ?>~", 2**60])

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_of_another_query_is_refused(pages: PageTokens):
    token = pages.encode("carts u1", ["c9"])

    with pytest.raises(PageTokenInvalid):
        pages.decode("carts u2", token)


def test_a_token_with_any_character_changed_is_refused(pages: PageTokens):
    token = pages.encode("carts u1", ["c99"])  # 27 bytes, so that no character has bits to spare
    for place in range(len(token)):
        forged = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(PageTokenInvalid):
            pages.decode("carts u1", forged)


@pytest.mark.parametrize("token", ["x", "!!!!", "AAAA", "é", "a" * 1000, base64.urlsafe_b64encode(b"m" * 16 + b"[]").decode()])
def test_what_is_no_token_is_refused(pages: PageTokens, token: str):
    with pytest.raises(PageTokenInvalid):
        pages.decode("carts u1", token)


@pytest.mark.parametrize("payload", [b'{"a": 1}', b"7", b'[["a"]]', b'[{"a": 1}]', b'["b", 1]', b"null"])
def test_what_is_no_list_after_a_known_key_is_refused(pages: PageTokens, payload: bytes):
    with pytest.raises(PageTokenInvalid):
        pages.decode("carts u1", base64.urlsafe_b64encode(b"m" * 16 + payload).rstrip(b"=").decode())


def test_a_token_outlives_the_key_that_replaces_its_own(pages: PageTokens, tmp_path: Path):
    token = pages.encode("carts u1", ["c9"])
    keep_keys(tmp_path, "b", a=b"k" * 32, b=b"l" * 32)

    assert pages.decode("carts u1", token) == ["c9"]


def test_a_token_of_a_retired_key_is_refused(pages: PageTokens, tmp_path: Path):
    token = pages.encode("carts u1", ["c9"])
    keep_keys(tmp_path, "b", b=b"l" * 32)

    with pytest.raises(PageTokenInvalid):
        pages.decode("carts u1", token)


def test_a_refusal_names_the_field_and_the_reason(pages: PageTokens):
    with pytest.raises(PageTokenInvalid) as caught:
        pages.decode("carts u1", "x")

    assert (caught.value.reason, caught.value.violations) == ("PAGE_TOKEN_INVALID", (("page_token", "is not a token of this query"),))


def test_pages_count_from_1_up_to_the_first_10000_results() -> None:
    assert skipped_before(1, 20) == 0
    assert skipped_before(500, 20) == 9980
    with pytest.raises(PageOutOfRange) as refused:
        skipped_before(501, 20)

    assert (refused.value.reason, refused.value.metadata) == ("PAGE_OUT_OF_RANGE", {"page": "501"})
