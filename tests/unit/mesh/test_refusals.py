"""Who is turned away, and where."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from mesh.local.authority import Authority, secret
from mesh.local.identities import spiffe_id
from tests.unit.mesh.conftest import ECHO, Mesh, code_of, request, status_in
from tools.home import write_private

FOREIGN = "spiffe://elsewhere.example/ns/bazaar/sa/checkout"


async def test_a_caller_with_its_certificate_is_answered(mesh: Mesh, folder: Path):
    answer = await mesh.post(f"{ECHO}/Echo", tls=mesh.tls(folder, spiffe_id("checkout")))

    assert (answer.status_code, status_in(answer), mesh.callers) == (200, "OK", ["checkout"])


async def test_plaintext_is_refused(mesh: Mesh):
    assert await mesh.knock() == "alert"


async def test_a_caller_without_a_certificate_is_refused(mesh: Mesh, folder: Path):
    assert "CERTIFICATE_REQUIRED" in await mesh.knock(mesh.tls(folder))


async def test_the_same_name_from_another_authority_is_refused(mesh: Mesh, folder: Path):
    assert await mesh.knock(mesh.tls(folder, spiffe_id("checkout"), Authority.new())) == "TLSV1_ALERT_DECRYPT_ERROR"


async def test_a_foreign_trust_domain_is_refused(mesh: Mesh, folder: Path):
    assert "CERTIFICATE_UNKNOWN" in await mesh.knock(mesh.tls(folder, FOREIGN))


async def test_tls_1_2_is_refused(mesh: Mesh, folder: Path):
    old = mesh.tls(folder, spiffe_id("checkout"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    assert "PROTOCOL_VERSION" in await mesh.knock(old)


async def test_a_method_that_is_not_granted_is_denied(mesh: Mesh):
    stub = await mesh.stub("ranking")

    assert (await code_of(stub.Echo(request())), mesh.callers) == ("PERMISSION_DENIED", [])


async def test_a_method_that_the_policy_does_not_name_is_denied_whoever_asks(mesh: Mesh):
    """The service's own table names it in this mesh; Envoy's doesn't."""
    stub = await mesh.stub("ranking")

    assert (await code_of(stub.Denied(request())), mesh.callers) == ("PERMISSION_DENIED", [])


async def test_health_and_reflection_are_open_to_nobody_else(mesh: Mesh, folder: Path):
    answer = await mesh.post("grpc.health.v1.Health/Check", tls=mesh.tls(folder, spiffe_id("checkout")))

    assert status_in(answer) == "PERMISSION_DENIED"


async def test_process_means_every_service_and_not_the_edge(mesh: Mesh, folder: Path):
    stub = await mesh.stub("ranking")

    granted = await code_of(stub.Collect(iter([request()]), metadata=(("x-bazaar-caller", "process"),)))
    denied = status_in(await mesh.post(f"{ECHO}/Collect", tls=mesh.tls(folder, spiffe_id("edge"))))
    assert (granted, denied) == ("OK", "PERMISSION_DENIED")


async def test_a_server_with_another_name_is_not_spoken_to(mesh: Mesh, folder: Path):
    certificate, key = mesh.authority.issue(spiffe_id("ranking"))
    write_private(mesh.places.certificate("test"), secret("test", certificate, key))
    async with asyncio.timeout(10):
        while await mesh.certificate_shown(mesh.tls(folder, spiffe_id("checkout"))) != ssl.PEM_cert_to_DER_cert(certificate):
            await asyncio.sleep(0.01)
    stub = await mesh.stub("checkout")

    assert (await code_of(stub.Echo(request())), mesh.callers) == ("UNAVAILABLE", [])


async def test_sockets_are_their_owners_alone(mesh: Mesh):
    places = mesh.places
    modes = {path.stat().st_mode & 0o777 for path in (places.app("test"), places.inbound("test"), places.outbound("test"))}

    assert (modes, places.own("test").stat().st_mode & 0o777) == ({0o600}, 0o700)
