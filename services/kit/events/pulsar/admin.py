"""Pulsar's admin API, as far as the bus needs it: topics, grants, and how much waits.

https://pulsar.apache.org/admin-rest-api/
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from services.kit.errors import Unavailable
from services.kit.events.port import Topic, TopicChanged
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.failures import Forbidden

_SECONDS = 10.0
_CONFLICT = 409

OLDEST, NEXT = -1, 2**63 - 1
"""Where a group that is new may begin: as Pulsar writes the ids of the earliest and of the latest message."""


class Admin:
    """One namespace's administration."""

    def __init__(self, address: Address) -> None:
        self._namespace = address.namespace
        self._client = httpx.AsyncClient(
            base_url=f"{address.admin}/admin/v2/",
            headers={"Authorization": f"Bearer {address.token}"} if address.token else {},
            verify=address.ca_file or True,
            timeout=_SECONDS,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def make_namespace(self) -> None:
        """Makes the tenant and the namespace, unless they are there."""
        tenant = self._namespace.partition("/")[0]
        clusters = await self._get("clusters")
        await self._make(f"tenants/{tenant}", {"adminRoles": [], "allowedClusters": clusters})
        await self._make(f"namespaces/{self._namespace}", {})

    async def make_topic(self, topic: Topic) -> None:
        """Makes a topic and says how long it keeps what it gets.

        Raises:
            TopicChanged: it is there with another number of partitions.
        """
        if not await self._make(f"{self._path(topic.name)}/partitions", topic.partitions):
            found = (await self._get(f"{self._path(topic.name)}/partitions"))["partitions"]
            if found != topic.partitions:
                raise TopicChanged(f"{topic.name} has {found} partitions, not {topic.partitions}")
        minutes = topic.retention // timedelta(minutes=1)
        retention = {"retentionTimeInMinutes": minutes, "retentionSizeInMB": -1}
        await self._call("POST", f"{self._path(topic.name)}/retention", retention)
        if topic.payload:
            await self._call("POST", f"schemas/{self._namespace}/{topic.name}/schema", registered(topic.payload))

    async def make_group(self, topic: str, group: str, *, place: int = OLDEST) -> None:
        """Has a group's messages kept from the topic's oldest, or from the next one on, even before its first consumer comes."""
        await self._make(f"{self._path(topic)}/subscription/{group}", {"ledgerId": place, "entryId": place, "partitionIndex": -1})

    async def grant(self, topic: str, role: str, actions: Sequence[str]) -> None:
        """Lets a role produce to a topic, consume from it, or both; in place of what it was let before."""
        await self._call("POST", f"{self._path(topic)}/permissions/{role}", list(actions))

    async def topics(self) -> list[str]:
        """Short names of all topics."""
        names: list[str] = await self._get(f"persistent/{self._namespace}/partitioned")
        return sorted(name.rpartition("/")[2] for name in names)

    async def backlogs(self, topic: str) -> dict[tuple[str, int], int]:
        """Messages that are not acked, by group and partition."""
        found: dict[tuple[str, int], int] = {}
        for number, stats in (await self._partitions(topic)).items():
            for group, subscription in stats["subscriptions"].items():
                waits = subscription["isDurable"] and subscription["msgBacklog"]
                found[group, number] = await self.backlog(f"{topic}-partition-{number}", group) if waits else 0
        return found

    async def backlog(self, partition: str, group: str) -> int:
        """Messages of one partition that a group has not acked, counted by the broker: its own figure is of entries, which hold several."""
        answer = await self._call("POST", f"{self._path(partition)}/subscription/{group}/analyzeBacklog")
        return int(answer.json()["messages"])

    async def rewind(self, topic: str, group: str, to_ms: int) -> None:
        """Sets a group back to what was published at a time (milliseconds since 1970) and after it; nowhere forward."""
        for number, stats in (await self._partitions(topic)).items():
            waiting = stats["subscriptions"].get(group)
            if waiting is None or (waiting["msgBacklog"] and waiting["earliestMsgPublishTimeInBacklog"] <= to_ms):
                continue
            await self._call("POST", f"{self._path(topic)}-partition-{number}/subscription/{group}/resetcursor/{to_ms}")

    async def _partitions(self, topic: str) -> dict[int, Any]:
        """The broker's figures of each partition."""
        query = {"perPartition": "true", "getPreciseBacklog": "true", "getEarliestTimeInBacklog": "true"}
        stats = await self._get(f"{self._path(topic)}/partitioned-stats", query)
        named = ((name.rpartition("-")[2], partition) for name, partition in stats["partitions"].items())
        # A topic that nobody has used yet stands for its partitions itself.
        return {int(number): partition for number, partition in named if number.isdigit()}

    def _path(self, topic: str) -> str:
        return f"persistent/{self._namespace}/{topic}"

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return (await self._call("GET", path, query=query)).json()

    async def _make(self, path: str, body: object) -> bool:
        """Whether it was made just now."""
        return (await self._call("PUT", path, body, also=_CONFLICT)).status_code != _CONFLICT

    async def _call(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None, also: int = 200
    ) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            raise Unavailable(f"Pulsar's admin API does not answer: {type(error).__name__}") from error
        if answer.status_code in (401, 403):
            raise Forbidden(f"{method} {path}: this role may not")
        if answer.is_success or answer.status_code == also:
            return answer
        raise Unavailable(f"{method} {path}: Pulsar's admin API answers {answer.status_code}")


def registered(payload: Descriptor) -> dict[str, object]:
    """A message as Pulsar's register of schemas takes it.

    Through the admin API, because the client can't: it sends a Protobuf schema as quoted JSON, which the broker doesn't read. The register
    is for readers; whether a change is compatible is judged by `buf breaking` before it gets there.
    """
    files = FileDescriptorSet()
    _add(payload.file, files)
    schema = {
        "fileDescriptorSet": b64encode(files.SerializeToString()).decode(),
        "rootMessageTypeName": payload.full_name,
        "rootFileDescriptorName": payload.file.name,
    }
    return {"type": "PROTOBUF_NATIVE", "schema": json.dumps(schema), "properties": {}}


def _add(file: FileDescriptor, files: FileDescriptorSet) -> None:
    """A file after those that it imports, each once."""
    if any(each.name == file.name for each in files.file):
        return
    for imported in file.dependencies:
        _add(imported, files)
    file.CopyToProto(files.file.add())
