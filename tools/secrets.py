"""The secrets of one home, made on its first start and never shown."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from joserfc.jwk import ECKey, KeySet

from tools import certificates
from tools.home import write_private

EDGE = certificates.Files("edge_ca.pem", "edge_certificate.pem", "edge_certificate_key.pem")


def make_missing(directory: Path) -> None:
    """Writes every secret that is not there yet (0600). Rotation: add a key to the file, name it first or current, restart."""
    for name, make in MAKERS.items():
        if not (directory / name).exists():
            write_private(directory / name, make())
    certificates.make_missing(directory, EDGE, "Bazaar of one machine", [certificates.SERVES])
    # The public half follows the private one.
    keys = KeySet.import_key_set(json.loads((directory / "jwt.json").read_text()))
    write_private(directory / "jwks.json", json.dumps(keys.as_dict(private=False)))


def read(directory: Path, name: str) -> str:
    """Returns one secret's text."""
    return (directory / name).read_text().strip()


def password() -> str:
    """One that nobody guesses."""
    return secrets.token_urlsafe(24)


def _keyring() -> str:
    """One key of 32 bytes under a short id, as `kit.secrets` reads it."""
    key_id = secrets.token_hex(4)
    return json.dumps({"current": key_id, "keys": {key_id: base64.b64encode(secrets.token_bytes(32)).decode()}})


def _signing_keys() -> str:
    """A private JWK set for ES256; its first key signs."""
    key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "alg": "ES256", "use": "sig"}, private=True)
    return json.dumps({"keys": [key.as_dict(private=True)]})


def _token_key() -> str:
    """A private key for ES256, in PEM: signs the tokens of Pulsar's roles."""
    return ECKey.generate_key("P-256", private=True).as_pem(private=True).decode()


MAKERS: dict[str, Callable[[], str]] = {
    "admin_password": password,
    "jwt.json": _signing_keys,
    "quote.json": _keyring,
    "pages.json": _keyring,
    "sandbox.json": _keyring,
    "sandbox_key": password,
    "redis_password": password,
    "mongo_password": password,
    "pulsar_key.pem": _token_key,
    # MongoDB takes base64 characters only.
    "mongo_keyfile": lambda: secrets.token_hex(64),
}
