import socket
import ssl

import httpx
import pytest

from tests.shop import eventually
from tests.unit.gateway.conftest import renew_certificate

TOP = "/v1/queryTopProducts?category=tv"


async def ask(edge, context, path=TOP):
    async with httpx.AsyncClient(verify=context, trust_env=False, http2=True) as client:
        return await client.get(f"https://127.0.0.1:{edge.tls_port}{path}")


@pytest.fixture
def trusting(edge_home):
    return ssl.create_default_context(cafile=edge_home / "own" / "ca.pem")


async def test_the_edge_speaks_http_2_over_tls(edge, trusting):
    answer = await ask(edge, trusting)

    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


async def test_browsers_are_told_to_come_by_tls_whatever_the_answer(edge, client, trusting):
    answers = [await ask(edge, trusting), await ask(edge, trusting, "/v1/nothing"), await ask(edge, trusting, "/v1/queryTopProducts?x=1")]

    assert [(answer.status_code, answer.headers["strict-transport-security"]) for answer in answers] == [
        (status, "max-age=31536000") for status in (200, 404, 400)
    ]
    assert "strict-transport-security" not in (await client.get(TOP)).headers


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_old_versions_of_tls_are_refused(edge, trusting):
    trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    trusting.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", edge.tls_port)) as raw:
        trusting.wrap_socket(raw, server_hostname="127.0.0.1")


async def test_a_new_certificate_is_taken_while_the_edge_runs(edge, edge_home):
    trusting = renew_certificate(edge_home / "own")

    async def is_taken():
        try:
            return (await ask(edge, trusting)).status_code
        except httpx.ConnectError:
            return 0

    await eventually(is_taken, 200)
