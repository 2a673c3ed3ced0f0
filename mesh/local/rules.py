"""Envoy's rules of who may call what, made from mesh/policy.yaml: Istio's AuthorizationPolicy, one method at a time.

They reach Envoy in files of their own (ECDS), so that a change holds from the next call on, on open connections too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mesh.local.identities import noun_of, spiffe_id
from mesh.local.places import EDGE, Places
from services.kit.auth import PROCESS, Grant, Policy
from tools.home import write_private

RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


def write_rules(places: Places, policy: Policy) -> None:
    """Writes every service's rules; files that would say the same again stay as they are."""
    for service in places.services:
        text = json.dumps({"resources": [rules(service, policy, places.services)]}, indent=1)
        file = places.rules(service)
        if not file.exists() or file.read_text() != text:
            write_private(file, text)


def rules(service: str, policy: Policy, services: Iterable[str]) -> dict[str, Any]:
    """The filter that lets in what the policy grants, and nothing else."""
    granted = [grant for grant in policy.grants if noun_of(grant.method) == service and grant.callers]
    policies = {grant.method: _policy(grant, services) for grant in granted}
    document = {"@type": RBAC, "rules": {"action": "ALLOW", "policies": policies}}
    return {"@type": EXTENSION, "name": filter_name(service), "typed_config": document}


def filter_name(service: str) -> str:
    """What the service's rules are called in Envoy's configuration."""
    return f"rules-{service}"


def callers_of(grant: Grant, services: Iterable[str]) -> list[str]:
    """Whose certificates a method takes: `process` is any service's, never the edge's."""
    named = {caller for caller in grant.callers if caller != PROCESS}
    return sorted(named | (set(services) - {EDGE} if PROCESS in grant.callers else set()))


def _policy(grant: Grant, services: Iterable[str]) -> dict[str, Any]:
    names = [{"authenticated": {"principal_name": {"exact": spiffe_id(caller)}}} for caller in callers_of(grant, services)]
    return {"permissions": [{"url_path": {"path": {"exact": f"/{grant.method}"}}}], "principals": names}
