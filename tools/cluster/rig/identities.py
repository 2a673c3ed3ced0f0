"""Certificates with SPIFFE identities, and the service (SDS) by which an Envoy asks for its own; in a cluster Istio's agent does both.

The messages are few and flat, so they are written and read by field number: envoy/service/discovery/v3/discovery.proto and
envoy/extensions/transport_sockets/tls/v3/secret.proto.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.cluster.istio import principal

SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
OWN, AUTHORITY = "default", "ROOTCA"
"""The names by which istiod tells proxies to ask."""


class Identity(NamedTuple):
    """What a proxy shows, and whom it believes; PEM."""

    chain: bytes
    key: bytes
    authority: bytes


class Authority:
    """One that signs identities for a day."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "rig")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._builder(self._key, self._name).add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())

    def identity(self, account: str) -> Identity:
        """A service account's."""
        key = ec.generate_private_key(ec.SECP256R1())
        uri = x509.UniformResourceIdentifier(f"spiffe://{principal(account)}")
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(key, x509.Name([])).add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        certificate = builder.add_extension(uses, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Identity(_pem(certificate), private, self.certificate)

    @property
    def certificate(self) -> bytes:
        """By which it is believed; PEM."""
        return _pem(self._certificate)

    def _builder(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> x509.CertificateBuilder:
        began = datetime.now(UTC) - timedelta(hours=1)
        return x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number(), began, began + timedelta(days=1))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


async def serve(identity: Identity, socket: Path) -> grpc.aio.Server:
    """Hands an identity to whoever connects to a unix socket."""

    async def stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        async for request in requests:
            fields = list(_fields(request))
            # One with a nonce says that the last answer has arrived.
            if not any(number == NONCE for number, _ in fields):
                names = [value.decode() for number, value in fields if number == NAMES]
                yield _response([_secret(name, identity) for name in names])
        await asyncio.Event().wait()

    handler = grpc.stream_stream_rpc_method_handler(stream)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("envoy.service.secret.v3.SecretDiscoveryService", {"StreamSecrets": handler})]
    )
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server


NAMES, NONCE = 3, 5
"""Fields of a DiscoveryRequest."""


def _response(secrets: list[bytes]) -> bytes:
    resources = b"".join(_field(2, _field(1, SECRET.encode()) + _field(2, secret)) for secret in secrets)
    return _field(1, b"1") + resources + _field(4, SECRET.encode()) + _field(5, b"1")


def _secret(name: str, identity: Identity) -> bytes:
    if name == AUTHORITY:
        return _field(1, name.encode()) + _field(4, _field(1, _inline(identity.authority)))
    return _field(1, name.encode()) + _field(2, _field(1, _inline(identity.chain)) + _field(2, _inline(identity.key)))


def _inline(content: bytes) -> bytes:
    """A DataSource."""
    return _field(2, content)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields that have a length, by number; this message has no others that matter."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        length, place = _read_varint(message, place)
        if tag & 7 == 2:
            yield tag >> 3, message[place : place + length]
            place += length


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < 0x80:
            return value, place
