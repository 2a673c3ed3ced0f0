# What the bus uses of pulsar-client's asyncio API, which comes without types.
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pulsar import (
    AuthenticationToken,
    BatchingType,
    ConsoleLogger,
    ConsumerType,
    InitialPosition,
    Message,
    MessageId,
    Result,
)

class PulsarException(Exception):
    def error(self) -> Result: ...

class Producer:
    async def send(
        self,
        content: bytes,
        properties: Mapping[str, str] | None = None,
        partition_key: str | None = None,
        ordering_key: str | None = None,
        *,
        deliver_after: timedelta | None = None,
    ) -> MessageId: ...
    async def close(self) -> None: ...

class Consumer:
    async def receive(self) -> Message: ...
    async def acknowledge(self, message: Message) -> None: ...
    async def close(self) -> None: ...

class Reader:
    async def read_next(self) -> Message: ...
    async def seek(self, messageid: MessageId | int) -> None: ...
    async def close(self) -> None: ...

class Client:
    def __init__(
        self,
        service_url: str,
        *,
        authentication: AuthenticationToken | None,
        operation_timeout_seconds: int,
        tls_trust_certs_file_path: str | None,
        tls_validate_hostname: bool,
        logger: ConsoleLogger,
    ) -> None: ...
    async def create_producer(
        self,
        topic: str,
        *,
        batching_enabled: bool,
        batching_type: BatchingType,
        batching_max_publish_delay_ms: int,
        max_pending_messages: int,
        send_timeout_millis: int,
    ) -> Producer: ...
    async def subscribe(
        self,
        topic: str,
        subscription_name: str,
        consumer_type: ConsumerType,
        *,
        receiver_queue_size: int,
        initial_position: InitialPosition,
        batch_index_ack_enabled: bool,
    ) -> Consumer: ...
    async def create_reader(self, topic: str, start_message_id: Any) -> Reader: ...
    async def get_topic_partitions(self, topic: str) -> list[str]: ...
    async def close(self) -> None: ...
