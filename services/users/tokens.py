"""Access tokens (JSON Web Tokens, RFC 9068's claims as far as we use them) and refresh tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
import uuid
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from services.kit.secrets import Secrets, SecretUnusable
from services.kit.values import value
from services.users.access import ACCESS_TOKEN_LIFE

ISSUER = "https://bazaar.dev"
AUDIENCE = "bazaar"

_ID_BYTES, _SECRET_BYTES, _MAC_BYTES = 16, 32, 16
_TOKEN_BYTES = _ID_BYTES + _SECRET_BYTES + _MAC_BYTES


class SigningKeys:
    """The keys of the secret `jwt.json`, a private JWK set: the first signs, all verify. Read once; a rotation restarts the processes."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def access_token(self, user_id: str, roles: Iterable[str], session_id: str, now: datetime) -> str:
        """An ES256 token that is good for 10 minutes."""
        issued = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "roles": sorted(roles),
            "sid": session_id,
            "iat": issued,
            "exp": issued + int(ACCESS_TOKEN_LIFE.total_seconds()),
        }
        return jwt.encode({"alg": "ES256", "kid": self._signer.kid}, claims, self._signer)

    @cached_property
    def public(self) -> list[dict[str, str]]:
        """The keys' public halves, as RFC 7517 names their members."""
        return [{name: str(value) for name, value in key.as_dict(private=False).items()} for key in self._keys]

    def macs(self, purpose: str, content: bytes) -> list[bytes]:
        """HMAC-SHA256 of the content by a key derived from each signing key, the present one first."""
        return [hmac.digest(hmac.digest(secret, purpose.encode(), "sha256"), content, "sha256") for secret in self._mac_secrets]

    @cached_property
    def _keys(self) -> list[ECKey]:
        try:
            keys = KeySet.import_key_set(orjson.loads(self._secrets.text("jwt.json"))).keys
        except (JoseError, ValueError, KeyError, TypeError):
            raise SecretUnusable("The secret jwt.json is not a set of private JSON Web Keys.") from None
        usable = [key for key in keys if isinstance(key, ECKey) and key.is_private]
        if len(usable) < len(keys):
            raise SecretUnusable("The secret jwt.json must hold private EC keys and nothing else.")
        return usable

    @property
    def _signer(self) -> ECKey:
        return self._keys[0]

    @cached_property
    def _mac_secrets(self) -> list[bytes]:
        return [str(key.as_dict(private=True)["d"]).encode() for key in self._keys]


@value
class RefreshToken:
    """A refresh token that a client sent; nothing is known yet of its being good."""

    session_id: str
    hash: bytes
    is_ours: bool
    """It was made by us for that session, whenever that was: knowing a session's id isn't enough to end it with a made-up token."""

    content: bytes


class RefreshTokens:
    """Makes and reads refresh tokens: the session's id, 256 random bits, and a mark that they are ours; base64url."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    def new(self, session_id: str) -> bytes:
        """The content of a new token."""
        unmarked = uuid.UUID(session_id).bytes + random.token_bytes(_SECRET_BYTES)
        return unmarked + self._marks(unmarked)[0]

    def read(self, text: str) -> RefreshToken | None:
        """What a client sent; None when it can't be a refresh token."""
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(content) != _TOKEN_BYTES:
            return None
        unmarked, mark = content[:-_MAC_BYTES], content[-_MAC_BYTES:]
        is_ours = any(hmac.compare_digest(mark, ours) for ours in self._marks(unmarked))
        return RefreshToken(str(uuid.UUID(bytes=content[:_ID_BYTES])), hash_of(content), is_ours, content)

    def _marks(self, unmarked: bytes) -> list[bytes]:
        return [mac[:_MAC_BYTES] for mac in self._keys.macs("refresh token", unmarked)]


def text_of(content: bytes) -> str:
    """A refresh token as clients get it."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def hash_of(content: bytes) -> bytes:
    """What is stored of a refresh token: 256 random bits need no slow hash."""
    return hashlib.sha256(content).digest()


def sealed(token: bytes, with_token: bytes) -> bytes:
    """A token that only the holder of another one can read; sealing what is sealed opens it.

    A one-time pad: each token seals one successor, and the pad is a pseudorandom function of its 256 random bits.
    """
    pad = hashlib.shake_256(b"bazaar successor" + with_token).digest(len(token))
    return bytes(left ^ right for left, right in zip(token, pad, strict=True))
