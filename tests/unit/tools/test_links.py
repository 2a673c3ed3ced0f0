"""What goes through a link of the tests."""

import asyncio
from pathlib import Path

from tests.links import Link, Links


async def test_what_is_carried_arrives_whole_and_in_order(folder: Path):
    numbers = b"".join(number.to_bytes(8, "big") for number in range(2**21))

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(numbers)
        writer.close()

    async with await asyncio.start_unix_server(tell, folder / "far"):
        with Links([Link("numbers", folder / "near", folder / "far")]):
            reader, writer = await asyncio.open_unix_connection(folder / "near")
            assert await reader.read(-1) == numbers
            writer.close()
