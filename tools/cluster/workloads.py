"""A service's own Kubernetes objects: who it is, how it runs, how it grows."""

from __future__ import annotations

from tools.cluster import IMAGE, NAMESPACE, PORT, postgres
from tools.cluster.facts import Fact, callees
from tools.cluster.istio import Document, document, labels
from tools.credentials import SECRETS

SERVE, WORK, MIGRATE = "serve", "work", "migrate"
STABLE, CANARY = "stable", "canary"
BACKLOG = 1000
"""Events that wait for a group; with more for each of its processes there are to be more of them."""

MOUNTS = "/etc/bazaar"
POSTGRES = f"postgresql://bazaar_{{service}}@postgres-{{service}}-rw:5432/bazaar_{{service}}?sslmode=verify-full&sslrootcert={MOUNTS}/postgres/ca.crt"
EVENTS = f"pulsar+ssl://:$(PULSAR_TOKEN)@pulsar-broker:6651/bazaar/shop?ca={MOUNTS}/pulsar/ca.crt"
ADMIN = "&admin=https://pulsar-broker:8443"
REDIS = f"rediss://:$(REDIS_PASSWORD)@redis-leader:6379?ssl_ca_certs={MOUNTS}/redis/ca.crt"
MONGO = f"mongodb://bazaar:$(MONGO_PASSWORD)@mongo-mongos:27017/?authSource=admin&tls=true&tlsCAFile={MOUNTS}/mongo/ca.crt"
SEARCH = f"https://search:$(OPENSEARCH_PASSWORD)@opensearch:9200?ca={MOUNTS}/opensearch/ca.crt"

CERTIFICATES = {
    "postgres": "postgres-{service}-ca",
    "pulsar": "pulsar-tls",
    "redis": "redis-tls",
    "mongo": "mongo-ssl",
    "opensearch": "opensearch-ca",
}
"""The Secrets in which operators and cert-manager leave the authority of a server's certificate; nothing else of them is mounted."""


def account(name: str) -> Document:
    """Its identity. Nothing in the shop speaks to Kubernetes, so no token is mounted."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def service(name: str) -> Document:
    """Its address: the processes that answer calls."""
    port = {"name": "grpc", "port": PORT, "targetPort": "grpc", "appProtocol": "grpc"}
    found = document("v1", "Service", name, {"selector": pod_labels(name, SERVE), "ports": [port]})
    # What the mesh's waypoint stands in front of.
    return {**found, "metadata": {**found["metadata"], "labels": {"app.kubernetes.io/part-of": "services"}}}


def deployments(fact: Fact) -> list[Document]:
    """Those that answer, and where there is other work, those that do it."""
    return [deployment(fact, SERVE), *([deployment(fact, WORK)] if fact.works else [])]


def deployment(fact: Fact, role: str, version: str = STABLE) -> Document:
    """Processes of one role and version; a canary has as many as are asked for, all else what the autoscaler says."""
    known = {**pod_labels(fact.name, role), "version": version}
    pod = {
        **pod_spec(fact, [process(fact, role)]),
        "terminationGracePeriodSeconds": 45,
        "topologySpreadConstraints": [_spread(fact.name, role, key) for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")],
    }
    spec = {
        **({} if version == STABLE else {"replicas": 1}),
        "selector": {"matchLabels": known},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "template": {"metadata": {"labels": known}, "spec": pod},
    }
    name = deployment_name(fact.name, role)
    return document("apps/v1", "Deployment", name if version == STABLE else f"{name}-{version}", spec)


def migration(fact: Fact) -> Document:
    """Brings its database, topics and grants up to date. A process that starts before that is done fails, and is started again."""
    name = f"{fact.name}-migrate"
    container = {
        **_container(fact, ["services", "migrate", fact.name]),
        "env": environment(fact, is_admin=True),
        "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "384Mi"}},
    }
    template = {
        # Not in the mesh: it calls no service, and a sidecar that goes on would keep the Job from ending.
        "metadata": {"labels": pod_labels(fact.name, MIGRATE)},
        "spec": {**pod_spec(fact, [container]), "restartPolicy": "OnFailure"},
    }
    spec = {"backoffLimit": 20, "activeDeadlineSeconds": 1800, "ttlSecondsAfterFinished": 600, "template": template}
    return document("batch/v1", "Job", name, spec)


def process(fact: Fact, role: str) -> Document:
    """The container that runs the service."""
    probe = {"grpc": {"port": PORT}}
    return {
        **_container(fact, ["services", fact.name]),
        "env": [*environment(fact), {"name": "BAZAAR_ROLE", "value": role if fact.works else "all"}],
        "ports": [{"name": "grpc", "containerPort": PORT}],
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 30},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        # Those who call must have heard that it goes, before it goes.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
    }


def _container(fact: Fact, arguments: list[str]) -> Document:
    mounts = [{"name": "scratch", "mountPath": "/tmp"}, *(_mount(volume["name"]) for volume in _volumes(fact))]
    return {
        "name": "service",
        "image": IMAGE,
        "args": arguments,
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def pod_spec(fact: Fact, containers: list[Document]) -> Document:
    """What all pods of a service have in common."""
    return {
        "serviceAccountName": fact.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": secure_pod(),
        "containers": containers,
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}}, *_volumes(fact)],
    }


def secure_pod() -> Document:
    """The image's own user, and no more system calls than the runtime's default."""
    user = {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    return {"runAsNonRoot": True, **user, "seccompProfile": {"type": "RuntimeDefault"}}


def environment(fact: Fact, *, is_admin: bool = False) -> list[Document]:
    """Its settings (docs/settings.md). A secret's value comes from a Secret, under a name that the URLs refer to."""
    found = [
        _text("BAZAAR_LISTEN", f"0.0.0.0:{PORT}"),
        {"name": "BAZAAR_PROCESS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        _text("BAZAAR_SECRETS", f"{MOUNTS}/secrets"),
    ]
    if fact.has_database:
        found += [_secret("PGPASSWORD", postgres.name(fact.name), "password"), _text("BAZAAR_DATABASE_URL", POSTGRES)]
    if fact.uses_bus:
        role = "admin" if is_admin else fact.name
        found += [_secret("PULSAR_TOKEN", f"pulsar-{role}", "token"), _text("BAZAAR_EVENTS_URL", EVENTS + (ADMIN if is_admin else ""))]
    if fact.uses_redis:
        found += [_secret("REDIS_PASSWORD", "redis", "password"), _text("BAZAAR_REDIS_URL", REDIS)]
    if fact.uses_opensearch:
        found += [_secret("OPENSEARCH_PASSWORD", "opensearch", "password"), _text("BAZAAR_SEARCH_URL", SEARCH)]
    if fact.uses_mongo:
        found += [_secret("MONGO_PASSWORD", "mongo", "password"), _text("BAZAAR_MONGO_URL", MONGO)]
    return [*found, *(_text(f"BAZAAR_ADDRESS_{name.upper()}", f"{name}:{PORT}") for name in callees(fact.name))]


def _volumes(fact: Fact) -> list[Document]:
    certificates = [
        {
            "name": f"{server}-ca",
            "secret": {"secretName": CERTIFICATES[server].format(service=fact.name), "items": [{"key": "ca.crt", "path": "ca.crt"}]},
        }
        for server in fact.servers
    ]
    files = [{"secret": {"name": secret_name(file), "items": [{"key": file, "path": file}]}} for file in SECRETS.get(fact.name, ())]
    return [*certificates, *([{"name": "secrets", "projected": {"sources": files}}] if files else [])]


def _mount(volume: str) -> Document:
    return {"name": volume, "mountPath": f"{MOUNTS}/{volume.removesuffix('-ca')}", "readOnly": True}


def secret_name(file: str) -> str:
    """The Secret that holds one of the services' secret files."""
    return file.removesuffix(".json").replace("_", "-")


def deployment_name(name: str, role: str) -> str:
    return f"{name}-worker" if role == WORK else name


def pod_labels(name: str, role: str) -> dict[str, str]:
    """What one role's pods are known by."""
    return {**labels(name), "app.kubernetes.io/component": role}


def _spread(name: str, role: str, key: str) -> Document:
    apart = {"labelSelector": {"matchLabels": pod_labels(name, role)}, "matchLabelKeys": ["pod-template-hash"]}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", **apart}


def _text(name: str, value: str) -> Document:
    return {"name": name, "value": value}


def _secret(name: str, secret: str, key: str) -> Document:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
