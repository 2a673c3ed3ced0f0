"""The certificate authority of one mesh, and the short-lived certificates that it signs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.local.identities import TRUST_DOMAIN, spiffe_id
from mesh.local.places import Places
from tools.home import write_private

LIFE = timedelta(hours=1)
"""Of a service's certificate."""
RENEWED_AFTER = LIFE / 2
AUTHORITY_LIFE = timedelta(days=3650)
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

_SKEW = timedelta(minutes=5)
"""Certificates begin a little in the past, for clocks that are set back."""


class Authority:
    """Signs the certificates of one mesh; made at the first start, and kept in its folder."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def new(cls) -> Authority:
        """One that nobody trusts yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bazaar's mesh on one machine")])
        trust_domain = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}")])
        builder = _between(AUTHORITY_LIFE).subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True).add_extension(trust_domain, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def of(cls, places: Places) -> Authority:
        """The mesh's own; makes it when there is none."""
        if not (places.authority.exists() and places.authority_key.exists()):
            made = cls.new()
            write_private(places.authority_key, _pem(made._key))
            write_private(places.authority, made.certificate)
        key = serialization.load_pem_private_key(places.authority_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate(places.authority.read_bytes()))

    @property
    def certificate(self) -> str:
        """In PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, uri: str, life: timedelta = LIFE) -> tuple[str, str]:
        """A certificate to call and to serve with, and its key, in PEM (an X.509-SVID: its name is its URI)."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _between(life).subject_name(x509.Name([])).issuer_name(self._certificate.subject).public_key(key.public_key())
        # Critical, as RFC 5280 wants it where there is no subject.
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = builder.add_extension(purposes, critical=False).sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key)

    def renew(self, places: Places, callers: Iterable[str]) -> None:
        """Gives everyone a new certificate. Envoy takes each at once: new connections have it, open ones keep theirs until they end."""
        for caller in callers:
            certificate, key = self.issue(spiffe_id(caller))
            write_private(places.certificate(caller), secret(caller, certificate, key))


def secret(name: str, certificate: str, key: str) -> str:
    """A file for Envoy's SDS. Both in one file, so that they change together (and JSON, which is YAML too)."""
    tls = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    return json.dumps({"resources": [{"@type": SECRET, "name": name, "tls_certificate": tls}]})


def _between(life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _SKEW).not_valid_after(now + life)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
