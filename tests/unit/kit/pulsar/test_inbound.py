"""Taking messages in batches from a client that hands them out one at a time, and loses one if it is cancelled."""

import asyncio

import pytest
from pulsar import Message

from services.kit.events.pulsar.inbound import Batches


class Queue:
    """Hands out messages as the client does: a `receive` that is cancelled has taken the next one with it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._waiting: list[asyncio.Future[Message]] = []
        self._stored: list[Message] = []

    def send(self, count: int) -> None:
        for _ in range(count):
            message = Message()
            self.sent.append(message)
            if self._waiting:
                future = self._waiting.pop(0)
                if not future.done():
                    future.set_result(message)
            else:
                self._stored.append(message)

    async def receive(self) -> Message:
        future = asyncio.get_running_loop().create_future()
        if self._stored:
            future.set_result(self._stored.pop(0))
        else:
            self._waiting.append(future)
        return await future


async def test_messages_come_in_order_and_in_batches():
    queue = Queue()
    batches = Batches(queue.receive, 4)
    queue.send(10)

    assert [await batches.next(), await batches.next(), await batches.next()] == [queue.sent[:4], queue.sent[4:8], queue.sent[8:]]


async def test_a_batch_of_one_is_not_kept_waiting():
    queue = Queue()
    batches = Batches(queue.receive, 500)
    queue.send(1)

    async with asyncio.timeout(1):
        assert await batches.next() == queue.sent


async def test_a_caller_that_is_cancelled_takes_no_message_with_it():
    queue = Queue()
    batches = Batches(queue.receive, 4)
    waiting = asyncio.create_task(batches.next())
    await asyncio.sleep(0.01)

    waiting.cancel()
    await asyncio.wait([waiting])
    queue.send(2)

    assert await batches.next() == queue.sent


async def test_more_than_is_asked_ahead_comes_in_order():
    queue = Queue()
    batches = Batches(queue.receive, 500)
    queue.send(300)

    assert await batches.next() == queue.sent


async def test_a_consumer_that_is_closed_says_so():
    async def closed() -> Message:
        raise ConnectionError("closed")

    with pytest.raises(ConnectionError):
        await Batches(closed, 4).next()
