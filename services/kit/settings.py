"""What a process reads from its environment, every setting with its meaning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parents[2]
"""The folder that holds services/, mesh/ and protos/."""

_PREFIX = "BAZAAR_"
_ADDRESS_PREFIX = "BAZAAR_ADDRESS_"


class _Addresses(PydanticBaseSettingsSource):
    """Collects BAZAAR_ADDRESS_<SERVICE> into one mapping by service name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name.removeprefix(_ADDRESS_PREFIX).lower(): address
            for name, address in os.environ.items()
            if name.startswith(_ADDRESS_PREFIX) and address
        }
        return {"addresses": found} if found else {}


class Settings(BaseSettings):
    """Read once at the start of a process; every field is an environment variable with the prefix `BAZAAR_`.

    An empty address of a server means that no service of this process needs it.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True)

    listen: str = ""
    """Where to serve: `unix:/run/bazaar/worker-1.sock` (a path of at most 107 bytes) or `127.0.0.1:50051`."""

    process: str = "worker-1"
    """This process's name in traces, logs and leases; unique on a machine."""

    role: Literal["all", "serve", "work"] = "all"
    """What it does for its services: `serve` answers calls, `work` works on events, timers and outboxes, `all` does both.

    A process that works answers nobody but health checks, one that serves goes on without it.
    """

    database_url: str = Field(default="", repr=False)
    """PostgreSQL of the services; `{service}` is filled in: `postgresql://bazaar_{service}@/bazaar_{service}?host=/run/postgres`."""

    events_url: str = Field(default="", repr=False)
    """The event bus; its scheme chooses the engine: `postgres://bazaar_events@/bazaar_events?host=/run/postgres`,
    `pulsar+ssl://:token@broker:6651/bazaar/shop?ca=/etc/bazaar/ca.pem`, or `pulsar://…` without TLS.
    """

    redis_url: str = Field(default="", repr=False)
    """Any node of the Redis Cluster: `redis://:password@127.0.0.1:7100`."""

    mongo_url: str = Field(default="", repr=False)
    """The MongoDB replica set: `mongodb://user:password@127.0.0.1:27100/?replicaSet=rs0`."""

    search_url: str = Field(default="", repr=False)
    """The index that search asks; its scheme chooses the engine: `file:///var/lib/bazaar/search` for one that is embedded, in a folder of
    each process's own below this one, or OpenSearch's `https://user:password@search:9200?ca=/etc/bazaar/ca.pem`.
    """

    secrets: Path = Path("secrets")
    """Folder of the secret files, one file a secret."""

    policy: Path = REPOSITORY / "mesh" / "policy.yaml"
    """The table of who may call what."""

    spiffe_prefix: str = ""
    """In a mesh, what the names in its certificates begin with: `spiffe://cluster.local/ns/bazaar/sa/`. Who calls is then whom the header
    x-forwarded-client-cert names, which the sidecar writes; a call without one is nobody's. Unset: callers are believed.
    """

    addresses: dict[str, str] = {}
    """`BAZAAR_ADDRESS_<SERVICE>`: where a service lives that this process doesn't run: `unix:/run/bazaar/orders.sock`."""

    trace_dir: Path | None = None
    """Folder of the local trace store; spans are not kept when it is unset."""

    trace_sampling: str = ""
    """`all`, or a ratio from 0 to 1, of new traces; unset: all up to 50 a second, then 10 %."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    currency: str = "USD"
    """The shop's own currency (ISO 4217): what prices and revenues are shown in unless a caller asks for another."""

    gateways: str = ""
    """The payment gateways, in the order in which they are asked for a method: `sandbox=http://127.0.0.1:12345`.

    Unset: cash on delivery only.
    """

    max_concurrent_calls: int = Field(default=1000, gt=0)
    """Unary calls that one service works on at once; more are answered RESOURCE_EXHAUSTED / OVERLOADED."""

    max_concurrent_streams: int = Field(default=10_000, gt=0)
    """Streaming calls that one service keeps open at once; more are answered RESOURCE_EXHAUSTED / OVERLOADED."""

    shed_calls: int = Field(default=100, ge=0)
    """Unary calls of clients that a process works on at once before those of priority 3 are refused, UNAVAILABLE / SHED; at twice as many
    those of priority 2 too; 0: never."""

    shed_wait_seconds: float = Field(default=1.0, ge=0)
    """How long the simplest call may wait for its answer, on average over a second, before calls of priority 3 are refused; at twice that
    those of priority 2 too; 0: never."""

    start_timeout_seconds: float = Field(default=30, ge=0)
    """How long a starting process waits for its databases before it gives up."""

    drain_timeout_seconds: float = Field(default=10, ge=0)
    """How long a stopping process lets calls finish."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Addresses(settings_cls), env_settings

    def database_url_of(self, service: str) -> str:
        """The address of one service's own database; empty when none is set."""
        return self.database_url.replace("{service}", service)


def settings_reference() -> str:
    """The settings as a Markdown table, for docs/settings.md."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = f"{_ADDRESS_PREFIX}<SERVICE>" if name == "addresses" else f"{_PREFIX}{name.upper()}"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{variable}` | {_shown(field.default)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default in ("", None, {}):
        return ""
    if isinstance(default, Path) and default.is_absolute():
        return f"`{default.relative_to(REPOSITORY)}`"
    return f"`{default}`"
