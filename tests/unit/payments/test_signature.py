import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.webhooks import sign
from services.kit.secrets import Keyring, Secrets
from services.payments.gateway import WebhookRefused
from services.payments.signature import REPLAY_WINDOW, check, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{"amount": 1}'
KEYS = Keyring("new", {"new": b"n" * 32, "old": b"o" * 32})


def header(key_id: str = "new", body: bytes = BODY, at: int = SECONDS, key: bytes | None = None) -> str:
    return f"t={at},k={key_id},v1={signed(key or KEYS.keys[key_id], at, body)}"


def refusal(header: str, body: bytes = BODY) -> str:
    with pytest.raises(WebhookRefused) as refused:
        check(header, body, KEYS, NOW)
    return refused.value.metadata["why"]


@pytest.mark.parametrize("key_id", ["new", "old"])
def test_any_key_of_the_ring_is_good(key_id: str):
    check(header(key_id), BODY, KEYS, NOW)


def test_blanks_between_the_parts_do_no_harm():
    check(header().replace(",", ", "), BODY, KEYS, NOW)


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b" ", b""), b""])
def test_it_signs_these_very_bytes(body: bytes):
    assert refusal(header(), body) == "wrong signature"


def test_another_key_under_a_known_name_is_refused():
    assert refusal(header(key=b"x" * 32)) == "wrong signature"


def test_a_key_that_was_taken_off_the_ring_is_refused():
    assert refusal(header("older", key=b"o" * 32)) == "unknown key"


def test_the_time_is_signed_too():
    assert refusal(header().replace(f"t={SECONDS}", f"t={SECONDS + 1}")) == "wrong signature"


@pytest.mark.parametrize("sign_of", [-1, 1])
def test_a_time_outside_of_the_window_is_refused(sign_of: int):
    edge = int(REPLAY_WINDOW.total_seconds())

    check(header(at=SECONDS + sign_of * edge), BODY, KEYS, NOW)
    assert refusal(header(at=SECONDS + sign_of * (edge + 1))) == "stale"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unsigned"),
        ("nonsense", "unknown key"),
        ("t=,k=new,v1=", "no time"),
        ("t=now,k=new,v1=00", "no time"),
        (f"t={'9' * 400},k=new,v1=00", "no time"),
        ("t=²,k=new,v1=00", "no time"),
        (f"t={SECONDS},k=new", "wrong signature"),
        (f"t={SECONDS},k=new,v1=é", "wrong signature"),
        ("=,=,=,", "unknown key"),
    ],
)
def test_whatever_comes_instead_of_a_signature_is_refused(text: str, why: str):
    assert refusal(text) == why


def test_what_the_gateway_signs_is_what_is_checked_here_through_a_rotation(tmp_path: Path):
    def write(current: str, **keys: bytes) -> None:
        encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
        (tmp_path / "ring.json.new").write_text(json.dumps({"current": current, "keys": encoded}))
        (tmp_path / "ring.json.new").rename(tmp_path / "ring.json")

    secrets = Secrets(tmp_path)
    write("a", a=b"1" * 32)
    first = sign(BODY, tmp_path / "ring.json", SECONDS)
    check(first, BODY, secrets.keyring("ring"), NOW)
    write("b", a=b"1" * 32, b=b"2" * 32)
    second = sign(BODY, tmp_path / "ring.json", SECONDS)
    check(first, BODY, secrets.keyring("ring"), NOW)
    check(second, BODY, secrets.keyring("ring"), NOW + timedelta(seconds=1))
    write("b", b=b"2" * 32)

    assert ",k=b," in second
    with pytest.raises(WebhookRefused):
        check(first, BODY, secrets.keyring("ring"), NOW)
