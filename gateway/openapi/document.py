"""The whole document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.methods import ALIAS, PREFIX, methods
from gateway.openapi import errors
from gateway.openapi.comments import comments
from gateway.openapi.operations import Operations
from gateway.openapi.schemas import Schemas
from services.kit.auth import Policy

ABOUT = """The backend of a large shop.

- `/api/…` is the same as `/v1/…`.
- 64-bit integers are strings in JSON, times are RFC 3339, amounts of money are whole minor units.
- A field that is unset or zero is there all the same, except for messages.
- Unknown query parameters are refused, unknown fields of a body are ignored.
- Every error is `{code, message, details}`; with `Accept: application/problem+json` it is told as RFC 9457 has it. What is wrong with a
  request as such is refused with 408 (it takes over 30 seconds to send), 413 (a body over 1 MiB; 4 MiB for products to import, 256 KiB for
  webhooks) or 431 (headers over 32 KiB).
- Get a token from `POST /v1/users/login`.
"""

TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The `accessToken` of a login, good for ten minutes.",
}


def document(files: Iterable[FileDescriptor], sources: FileDescriptorSet, policy: Policy) -> dict[str, Any]:
    """The document as JSON has it.

    Args:
        files: those that declare services.
        sources: the same with what they import, comments included.
    """
    found = list(files)
    told = comments(sources)
    known = errors.reasons(told)
    schemas = Schemas(told)
    operations = Operations(told, known, schemas)
    facts = {method.name: method for method in methods(found, policy)}
    paths: dict[str, dict[str, Any]] = {}
    tags: list[dict[str, str]] = []
    for service in (service for file in found for service in file.services_by_name.values()):
        opened = [(method, facts[f"{service.full_name}/{method.name}"]) for method in service.methods]
        forms = [form for method, fact in opened if fact.is_open for form in operations.forms(method, fact)]
        for form in forms:
            path = form.path.removeprefix(PREFIX.rstrip("/"))
            own = {} if form.path.startswith(PREFIX) else {"servers": [{"url": "/"}]}
            paths.setdefault(path, own)[form.verb] = form.operation
        if forms:
            tags.append({"name": service.name, "description": told.get(service.full_name, "")})
    return {
        "openapi": "3.1.1",
        "info": {"title": "Bazaar", "version": "1", "description": ABOUT, "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": PREFIX.rstrip("/")}, {"url": ALIAS.rstrip("/"), "description": "The same."}],
        "tags": tags,
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted({**schemas.components, **errors.schemas(known)}.items())),
            "examples": errors.examples(known.values()),
            "securitySchemes": {"token": TOKEN},
        },
    }


def text(files: Iterable[FileDescriptor], sources: FileDescriptorSet, policy: Policy) -> str:
    """The document as it is served."""
    return json.dumps(document(files, sources, policy), indent=1, ensure_ascii=False) + "\n"
