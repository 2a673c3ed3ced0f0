"""Who calls is said by the certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.local.identities import PREFIX, spiffe_id
from services.kit.rpc.identity import certified_caller
from tests.unit.mesh.conftest import ECHO, Mesh, request

LIES = (("x-bazaar-caller", "edge"), ("x-forwarded-client-cert", f"URI={spiffe_id('edge')}"))


async def test_a_caller_is_who_its_socket_belongs_to_whatever_it_says(mesh: Mesh):
    await (await mesh.stub("checkout")).Echo(request(), metadata=LIES)

    assert mesh.callers == ["checkout"]


async def test_a_spoofed_certificate_header_is_overwritten(mesh: Mesh, folder: Path):
    await mesh.post(f"{ECHO}/Echo", tls=mesh.tls(folder, spiffe_id("checkout")), headers=dict(LIES))

    [seen] = [headers["x-forwarded-client-cert"] for headers in mesh.headers]
    assert seen.split(";")[-1] == f"URI={spiffe_id('checkout')}"
    assert spiffe_id("edge") not in seen


@pytest.mark.parametrize(
    ("forwarded", "claimed", "caller"),
    [
        (f"By={spiffe_id('test')};Hash=ab;URI={spiffe_id('orders')}", "", "orders"),
        (f"URI={spiffe_id('orders')}", "payments", "orders"),
        (f"URI={spiffe_id('orders')}", "process", "process"),
        (f"URI={spiffe_id('edge')}", "process", "edge"),
        (f"URI={spiffe_id('edge')},By=x;URI={spiffe_id('orders')}", "", "orders"),
        (f"URI={spiffe_id('orders')};URI={spiffe_id('edge')}", "", ""),
        ("URI=spiffe://elsewhere.example/ns/bazaar/sa/orders", "orders", ""),
        ("", "orders", ""),
        (None, "orders", ""),
    ],
)
def test_the_header_names_one_service_of_this_mesh_or_nobody(forwarded: str | None, claimed: str, caller: str):
    metadata = {"x-bazaar-caller": claimed} | ({} if forwarded is None else {"x-forwarded-client-cert": forwarded})

    assert certified_caller(PREFIX)(metadata, lambda: "unix:") == caller


def test_a_call_from_within_the_process_needs_no_certificate():
    assert certified_caller(PREFIX)({"x-bazaar-caller": "process"}, lambda: "inprocess:") == "process"
