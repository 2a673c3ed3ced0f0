import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from services.kit.ids import uuid7
from services.kit.secrets import Secrets, SecretUnusable
from services.users.tokens import RefreshTokens, SigningKeys, hash_of, sealed, text_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key(kid: str) -> dict[str, object]:
    return dict(ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"}, private=True).as_dict(private=True))


OLD, NEW = key("old"), key("new")


def signing_keys(directory: Path, *keys: dict[str, object]) -> SigningKeys:
    (directory / "jwt.json").write_text(json.dumps({"keys": keys}))
    return SigningKeys(Secrets(directory))


def test_the_first_key_signs_and_all_are_published(tmp_path: Path):
    keys = signing_keys(tmp_path, NEW, OLD)

    token = jwt.decode(keys.access_token("u1", {"b", "a"}, "s1", NOW), KeySet.import_key_set({"keys": [NEW]}), algorithms=["ES256"])

    assert (token.header["kid"], token.header["alg"], token.claims["roles"]) == ("new", "ES256", ["a", "b"])
    assert [(public["kid"], "d" in public) for public in keys.public] == [("new", False), ("old", False)]


@pytest.mark.parametrize(
    "content",
    [
        "hunter2",
        "{}",
        '{"keys": []}',
        json.dumps({"keys": [{name: value for name, value in OLD.items() if name != "d"}]}),
    ],
)
def test_a_secret_that_holds_no_signing_keys_is_named_and_not_quoted(tmp_path: Path, content: str):
    (tmp_path / "jwt.json").write_text(content)

    with pytest.raises(SecretUnusable, match=r"^The secret jwt\.json ") as caught:
        _ = SigningKeys(Secrets(tmp_path)).public

    assert "hunter2" not in str(caught.value)


def test_a_refresh_token_names_its_session_and_is_known_as_ours(tmp_path: Path):
    tokens, session_id = RefreshTokens(signing_keys(tmp_path, NEW)), uuid7()
    content = tokens.new(session_id)

    read = tokens.read(text_of(content))

    assert read is not None
    assert (read.session_id, read.hash, read.is_ours) == (session_id, hash_of(content), True)


def test_two_tokens_of_a_session_have_nothing_secret_in_common(tmp_path: Path):
    tokens, session_id = RefreshTokens(signing_keys(tmp_path, NEW)), uuid7()

    assert tokens.new(session_id)[16:48] != tokens.new(session_id)[16:48]


def test_a_token_with_any_byte_changed_is_not_ours(tmp_path: Path):
    tokens = RefreshTokens(signing_keys(tmp_path, NEW))
    content = tokens.new(uuid7())

    read = [tokens.read(text_of(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])) for at in range(len(content))]

    assert [token.is_ours for token in read if token] == [False] * 64


@pytest.mark.parametrize("text", ["", "x", "!" * 86, "é", "A" * 85, "A" * 90])
def test_what_has_another_form_is_no_refresh_token(tmp_path: Path, text: str):
    assert RefreshTokens(signing_keys(tmp_path, NEW)).read(text) is None


def test_a_token_made_under_an_older_key_is_still_ours_until_that_key_goes(tmp_path: Path):
    text = text_of(RefreshTokens(signing_keys(tmp_path, OLD)).new(uuid7()))

    rotated = RefreshTokens(signing_keys(tmp_path, NEW, OLD)).read(text)
    retired = RefreshTokens(signing_keys(tmp_path, NEW)).read(text)

    assert [token and token.is_ours for token in (rotated, retired)] == [True, False]


def test_a_sealed_token_opens_with_the_token_it_was_sealed_with_alone(tmp_path: Path):
    tokens = RefreshTokens(signing_keys(tmp_path, NEW))
    first, second, other = [tokens.new(uuid7()) for _ in range(3)]

    box = sealed(second, first)

    assert (sealed(box, first), sealed(box, other) == second, second in box) == (second, False, False)
