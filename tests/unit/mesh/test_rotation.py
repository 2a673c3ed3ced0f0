"""Certificates change under load, and no call notices."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mesh.local import clusters
from mesh.local.authority import LIFE, Authority
from mesh.local.identities import spiffe_id
from mesh.local.places import Places
from tests.unit.mesh.conftest import SERVICES, code_of, request, starting


async def test_rotation_loses_no_call(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clusters, "CONNECTION_SECONDS", 1)
    async with starting(folder) as mesh:
        stub, ended, codes = await mesh.stub("checkout"), asyncio.Event(), []

        async def call() -> None:
            while not ended.is_set():
                codes.append(await code_of(stub.Echo(request())))

        load = [asyncio.create_task(call()) for _ in range(8)]
        for _ in range(4):
            await asyncio.sleep(1)
            mesh.authority.renew(mesh.places, mesh.places.callers)
        await asyncio.sleep(1.5)
        ended.set()
        await asyncio.gather(*load)
        shown = {headers["x-forwarded-client-cert"] for headers in mesh.headers}

    assert set(codes) == {"OK"}
    assert len(shown) >= 3


@pytest.fixture
def places(folder: Path) -> Places:
    places = Places(folder / "mesh", folder, SERVICES)
    places.prepare()
    return places


def test_an_authority_stays_the_same(places: Places):
    assert Authority.of(places).certificate == Authority.of(places).certificate


def test_its_key_is_its_owners_alone(places: Places):
    Authority.of(places)

    assert places.authority_key.stat().st_mode & 0o777 == 0o600


def test_a_certificate_names_its_service_for_an_hour(places: Places):
    certificate = x509.load_pem_x509_certificate(Authority.of(places).issue(spiffe_id("orders"))[0].encode())
    [name] = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc

    assert (name.value, life) == ("spiffe://cluster.local/ns/bazaar/sa/orders", LIFE + timedelta(minutes=5))
