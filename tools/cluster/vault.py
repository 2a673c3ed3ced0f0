"""The secrets of a cluster or of compose, made once: files that Kubernetes' Secrets and compose.yaml refer to by name."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools import secrets
from tools.cluster import NAMESPACE, postgres
from tools.cluster.facts import facts
from tools.cluster.istio import Document
from tools.cluster.workloads import secret_name
from tools.credentials import SECRETS
from tools.home import write_private
from tools.servers.pulsar import credentials

ADMIN, PROXY = "admin", "proxy"
"""Pulsar's role for migrations, which makes topics and grants; and that of a region's proxies."""

OPENSEARCH = "opensearch_password"
"""Of search's user there; compose's OpenSearch has no users."""


def make(folder: Path) -> None:
    """Makes what is missing in the folder; then `secrets.yaml` for Kubernetes and `compose.env` for compose, from what is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets.make_missing(folder)
    for name in (*database_passwords(), OPENSEARCH):
        if not (folder / name).exists():
            write_private(folder / name, secrets.password())
    write_private(folder / "secrets.yaml", yaml.safe_dump_all(list(kubernetes(folder)), sort_keys=False))
    lines = {**compose(folder), "BAZAAR_UID": str(os.getuid()), "BAZAAR_SECRETS_FOLDER": str(folder.absolute())}
    write_private(folder / "compose.env", "".join(f"{name}={value}\n" for name, value in lines.items()))


def database_passwords() -> list[str]:
    """Of the services' roles in PostgreSQL."""
    return [f"postgres_{fact.name}" for fact in facts() if fact.has_database]


def roles() -> list[str]:
    """Pulsar's, everywhere; where there are regions, there are proxies too."""
    return [ADMIN, *(fact.name for fact in facts() if fact.uses_bus)]


def kubernetes(folder: Path) -> Iterator[Document]:
    """The Secrets that the manifests name."""
    for file in sorted({file for files in SECRETS.values() for file in files} | {"jwks.json"}):
        yield _secret(secret_name(file), {file: secrets.read(folder, file)})
    for name in database_passwords():
        service = name.removeprefix("postgres_")
        login = {"username": f"bazaar_{service}", "password": secrets.read(folder, name)}
        yield {**_secret(postgres.name(service), login), "type": "kubernetes.io/basic-auth"}
    for server in ("redis", "mongo"):
        yield _secret(server, {"password": secrets.read(folder, f"{server}_password")})
    yield _secret("opensearch", {"password": secrets.read(folder, OPENSEARCH)})
    key = secrets.read(folder, "pulsar_key.pem")
    for role in (*roles(), PROXY):
        yield _secret(f"pulsar-{role}", {"token": credentials.token(key, role)})
    public = {"public.der": credentials.public_key(key).partition("base64,")[2]}
    yield {**_secret("pulsar-key", {}), "data": public, "stringData": {}}


def compose(folder: Path) -> dict[str, str]:
    """The variables that compose.yaml takes its secrets from."""
    key = secrets.read(folder, "pulsar_key.pem")
    passwords = {name.upper() + "_PASSWORD": secrets.read(folder, name) for name in database_passwords()}
    servers = {f"{server.upper()}_PASSWORD": secrets.read(folder, f"{server}_password") for server in ("redis", "mongo")}
    tokens = {f"PULSAR_{role.upper()}_TOKEN": credentials.token(key, role) for role in roles()}
    return {
        **passwords,
        **servers,
        **tokens,
        "POSTGRES_PASSWORD": secrets.read(folder, "admin_password"),
        "PULSAR_PUBLIC_KEY": credentials.public_key(key),
        "MONGO_KEYFILE": base64.b64encode(secrets.read(folder, "mongo_keyfile").encode()).decode(),
    }


def _secret(name: str, texts: dict[str, str]) -> Document:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "stringData": texts}
