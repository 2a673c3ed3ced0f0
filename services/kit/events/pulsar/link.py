"""One process's connection to Pulsar, and the watch over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from pulsar import AuthenticationToken, ConsoleLogger, LoggerLevel
from pulsar.asyncio import Client, PulsarException

from services.kit.errors import Unavailable
from services.kit.events.port import UndeclaredTopic
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.failures import translated

DEAD_LETTERS = "dead-letters"
"""The topic of what groups gave up on; also the one that the watch asks for."""

_OPERATION_SECONDS = 5
_PROBE_SECONDS = 2.0
_BETWEEN_PROBES_SECONDS = 1.0
_LAST_CALLBACKS_SECONDS = 0.5
"""The client's threads still call back after it is closed; a loop that is gone by then would abort the process."""

_log = structlog.get_logger(__name__)

Renewal = Callable[[], Awaitable[None]]


class Link:
    """The client and what was opened through it.

    The client's own way back to a broker backs off up to a minute. So the link looks once a second whether a broker answers, and when one
    does after it did not, has everything opened anew at once.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: Client | None = None
        self._renewals: set[Renewal] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def client(self) -> Client:
        """Raises Unavailable before `open`."""
        if self._client is None:
            raise Unavailable("the connection to Pulsar is not open")
        return self._client

    async def open(self) -> None:
        """Connects.

        Raises:
            Unavailable: no broker answers.
        """
        if self._client is None:
            self._client = _client_of(self.address)
        await self._probe()
        self._watching = asyncio.create_task(self._watch(), name="link to Pulsar")

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._client is not None:
            await closed(self._client.close())
            await asyncio.sleep(_LAST_CALLBACKS_SECONDS)

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UndeclaredTopic: nobody declared it.
        """
        with translated(f"looking for {topic}"):
            return len(await self.client.get_topic_partitions(self.address.topic(topic)))

    def on_renewal(self, renewal: Renewal) -> None:
        """To be called when a broker is back: what was opened is to be opened anew."""
        self._renewals.add(renewal)

    def forget(self, renewal: Renewal) -> None:
        self._renewals.discard(renewal)

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self.partitions(DEAD_LETTERS)
        except UndeclaredTopic:
            pass  # an answer is an answer
        except TimeoutError:
            raise Unavailable("Pulsar does not answer") from None

    async def _watch(self) -> None:
        is_away = False
        while True:
            await asyncio.sleep(_BETWEEN_PROBES_SECONDS)
            try:
                await self._probe()
            except Exception as error:
                # Whatever it is: a process without this watch would serve on, and might never be back on the bus.
                if not is_away:
                    _log.warning("Pulsar is away", error=str(error))
                is_away = True
                continue
            if is_away:
                _log.info("Pulsar is back")
                await asyncio.gather(*(renewal() for renewal in tuple(self._renewals)), return_exceptions=True)
            is_away = False


async def closed(closing: Awaitable[None]) -> None:
    """Waits for something to close, but not for a broker that is away."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await closing
    except (TimeoutError, PulsarException):
        _log.info("closed without the broker")


def _client_of(address: Address) -> Client:
    return Client(
        address.brokers,
        authentication=AuthenticationToken(address.token) if address.token else None,
        operation_timeout_seconds=_OPERATION_SECONDS,
        tls_trust_certs_file_path=address.ca_file or None,
        tls_validate_hostname=True,
        logger=ConsoleLogger(LoggerLevel.Error),
    )
