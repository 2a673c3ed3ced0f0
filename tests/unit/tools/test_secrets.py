import json
import stat

from services.kit.secrets import Secrets
from tools import secrets


def test_every_secret_is_the_owners_alone(tmp_path):
    secrets.make_missing(tmp_path)

    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_secrets_stay_what_they_are(tmp_path):
    secrets.make_missing(tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    secrets.make_missing(tmp_path)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


def test_the_public_keys_hold_nothing_private(tmp_path):
    secrets.make_missing(tmp_path)
    private, public = (json.loads((tmp_path / name).read_text())["keys"][0] for name in ("jwt.json", "jwks.json"))

    assert sorted(public) == ["alg", "crv", "kid", "kty", "use", "x", "y"]
    assert {**public, "d": private["d"]} == private


def test_services_read_the_keyrings(tmp_path):
    secrets.make_missing(tmp_path)
    ring = Secrets(tmp_path).keyring("quote")

    assert len(ring.keys[ring.current_id]) == 32
