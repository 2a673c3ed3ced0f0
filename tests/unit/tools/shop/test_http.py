import asyncio

import pytest

from tools.shop.http import Answer, Connections

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Answers each request with the next of the given pieces, a write each."""

    def __init__(self, *answers: list[bytes]) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            for piece in self.answers.pop(0):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            if not self.answers:
                break
        writer.close()

    async def __aenter__(self) -> Connections:
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.client = Connections(f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}", 2)
        return self.client

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        self._server.close()


async def ask(client: Connections) -> Answer:
    return await client.request("POST", "/v1/x", b"a: b\r\n", b"body", 5)


async def test_a_request_is_sent_whole():
    server = Server([OK])
    async with server as client:
        assert await ask(client) == Answer(200, b"{}")

    line, host, *rest = server.requests[0].split(b"\r\n")
    assert line == b"POST /v1/x HTTP/1.1"
    assert host.startswith(b"host: 127.0.0.1:")
    assert rest == [b"a: b", b"content-length: 4", b"", b"body"]


async def test_an_answer_may_come_in_pieces():
    async with Server([OK[:10], OK[10:-1], OK[-1:]]) as client:
        assert await ask(client) == Answer(200, b"{}")


async def test_an_answer_with_an_age_is_a_caches():
    async with Server([OK.replace(b"OK\r\n", b"OK\r\nAge: 0\r\n")]) as client:
        assert (await ask(client)).is_cached


async def test_a_connection_is_kept():
    server = Server([OK], [OK])
    async with server as client:
        await ask(client)
        await ask(client)

    assert server.connections == 1


async def test_two_calls_at_once_take_two_connections():
    server = Server([OK], [OK], [OK])
    async with server as client:
        await asyncio.gather(ask(client), ask(client))

    assert server.connections == 2


async def test_a_server_that_hangs_up_is_an_error():
    async with Server([OK[:10]]) as client:
        with pytest.raises(ConnectionResetError):
            await ask(client)


async def test_an_answer_without_a_length_is_an_error():
    async with Server([b"HTTP/1.1 200 OK\r\n\r\n"], [OK]) as client:
        with pytest.raises(ConnectionError):
            await ask(client)


async def test_what_takes_too_long_is_given_up():
    async with Server([], [OK]) as client:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/", b"", b"", 0.05)


async def test_nobody_there_is_an_error():
    with pytest.raises(ConnectionRefusedError):
        await ask(Connections("http://127.0.0.1:1", 1))
