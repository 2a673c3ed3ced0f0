"""Secrets as files in one folder, rotated by key id."""

from __future__ import annotations

import base64
import binascii
from dataclasses import field
from pathlib import Path
from typing import cast

import orjson

from services.kit.values import value


class SecretUnusable(Exception):
    """A secret is missing or is not what it should be; says which file, never what it holds."""


@value
class Keyring:
    """Keys by id: signs with the current one, verifies with any that is still listed."""

    current_id: str
    keys: dict[str, bytes] = field(repr=False)

    @property
    def current(self) -> bytes:
        return self.keys[self.current_id]


class Secrets:
    """Reads secrets from a folder: `<name>` holds text, `<name>.json` a keyring.

    A file that changes is read again at the next use, so a rotation needs no restart.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keyrings: dict[str, tuple[tuple[int, int], Keyring]] = {}

    def text(self, name: str) -> str:
        """A secret of one line, without the line's end.

        Raises:
            SecretUnusable: there is no such file.
        """
        return self._read(self._directory / name).decode().strip()

    def keyring(self, name: str) -> Keyring:
        """The keys of `<name>.json`: `{"current": id, "keys": {id: base64}}`. Cheap enough to ask for at every use.

        Raises:
            SecretUnusable: there is no such file, or it is not a keyring.
        """
        path = self._directory / f"{name}.json"
        try:
            stat = path.stat()
        except OSError as error:
            raise SecretUnusable(f"The secret {path} cannot be read: {error.strerror}.") from None
        version = (stat.st_mtime_ns, stat.st_ino)
        cached = self._keyrings.get(name)
        if cached is None or cached[0] != version:
            cached = self._keyrings[name] = (version, _parsed(path, self._read(path)))
        return cached[1]

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SecretUnusable(f"The secret {path} cannot be read: {error.strerror}.") from None


def _parsed(path: Path, content: bytes) -> Keyring:
    try:
        document = orjson.loads(content)
        encoded = cast("dict[str, str]", document["keys"])
        keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in encoded.items()}
        current_id = str(document["current"])
    except (orjson.JSONDecodeError, binascii.Error, KeyError, TypeError, AttributeError):
        raise SecretUnusable(f'The secret {path} is not a keyring: {{"current": id, "keys": {{id: base64}}}}.') from None
    if current_id not in keys:
        raise SecretUnusable(f"The secret {path} names a current key that it doesn't hold.")
    return Keyring(current_id, keys)
