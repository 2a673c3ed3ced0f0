import base64
import json
from pathlib import Path

import pytest

from services.kit.secrets import Secrets, SecretUnusable


def write_keyring(directory: Path, current: str, **keys: bytes) -> None:
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
    (directory / "quote.json").write_text(json.dumps({"current": current, "keys": encoded}))


def test_text_comes_without_its_line_end(tmp_path: Path):
    (tmp_path / "admin_password").write_text("s3cret\n")

    assert Secrets(tmp_path).text("admin_password") == "s3cret"


def test_a_keyring_signs_with_its_current_key(tmp_path: Path):
    write_keyring(tmp_path, "b", a=b"old", b=b"new")

    assert Secrets(tmp_path).keyring("quote").current == b"new"


def test_a_rotated_keyring_is_seen_without_a_restart(tmp_path: Path):
    secrets = Secrets(tmp_path)
    write_keyring(tmp_path, "a", a=b"old")
    before = secrets.keyring("quote")
    (tmp_path / "quote.json").rename(tmp_path / "was")
    write_keyring(tmp_path, "b", a=b"old", b=b"new")

    assert (before.current_id, secrets.keyring("quote").current_id) == ("a", "b")


def test_a_missing_secret_is_named(tmp_path: Path):
    with pytest.raises(SecretUnusable, match=r"redis_password cannot be read: No such file or directory\.$"):
        Secrets(tmp_path).text("redis_password")


def test_a_keyring_without_its_current_key_is_refused(tmp_path: Path):
    write_keyring(tmp_path, "c", a=b"old")

    with pytest.raises(SecretUnusable, match="names a current key that it doesn't hold"):
        Secrets(tmp_path).keyring("quote")


def test_a_file_that_is_no_keyring_is_refused_without_quoting_it(tmp_path: Path):
    (tmp_path / "quote.json").write_text('{"current": "a", "keys": {"a": "###hunter2"}}')

    with pytest.raises(SecretUnusable) as caught:
        Secrets(tmp_path).keyring("quote")

    assert "hunter2" not in str(caught.value)


def test_keys_are_not_printed(tmp_path: Path):
    write_keyring(tmp_path, "a", a=b"hunter2")

    assert "hunter2" not in repr(Secrets(tmp_path).keyring("quote"))
