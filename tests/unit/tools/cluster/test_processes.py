"""What pods and containers are told is what the processes want to hear."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.__main__ import main as write_edge
from services.__main__ import NOUNS, find_services
from services.kit.auth import Policy
from services.kit.events.pulsar.address import Address
from services.kit.runtime import Runtime
from services.kit.settings import Settings
from tests.unit.tools.cluster.conftest import containers, named, of_kind
from tools import ROOT
from tools.cluster import facts, vault

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = sorted(NOUNS)
DATABASES = sorted(fact.name for fact in facts.facts() if fact.has_database)
WORKLOADS = ("Deployment", "StatefulSet", "Job")
KNOWN = {f"BAZAAR_{name.upper()}" for name in Settings.model_fields} | {f"BAZAAR_ADDRESS_{name.upper()}" for name in NOUNS}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of secrets."""
    folder = tmp_path_factory.mktemp("vault")
    vault.make(folder)
    return folder


@pytest.fixture
def kubernetes(made):
    return {document["metadata"]["name"]: document for document in yaml.safe_load_all((made / "secrets.yaml").read_text())}


def told(document, secrets):
    """A pod's environment, as the kubelet would make it."""
    container, found = containers(document)[0], {}
    for source in container.get("envFrom", []):
        found |= named("dev", "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container["env"]:
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            found[variable["name"]] = secrets[reference["name"]]["stringData"][reference["key"]]
        else:
            value = variable.get("value", document["metadata"]["name"])
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], value)
    return found


def built(environment, monkeypatch, secrets, service, mounts):
    """What the process would consist of; raises when it lacks a setting."""
    for server in ("postgres", "pulsar", "redis", "mongo", "opensearch"):
        (mounts / server).mkdir()
        (mounts / server / "ca.crt").write_bytes((secrets / "edge_ca.pem").read_bytes())
    for variable in [name for name in os.environ if name.startswith("BAZAAR_")]:
        monkeypatch.delenv(variable)
    for variable, value in {**environment, "BAZAAR_SECRETS": str(secrets)}.items():
        monkeypatch.setenv(variable, value.replace("/etc/bazaar", str(mounts)))
    return Runtime(find_services([service]), Settings()).parts[service]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_pod_has_every_setting_that_its_service_asks_for(service, made, kubernetes, monkeypatch, tmp_path):
    environment = told(named("dev", "Deployment", service), kubernetes)

    assert built(environment, monkeypatch, made, service, tmp_path).servicers
    assert {name for name in environment if name.startswith("BAZAAR_")} <= KNOWN


@pytest.mark.parametrize("service", SERVICES)
async def test_a_container_of_compose_has_them_too(service, made, monkeypatch, tmp_path):
    lines = dict(line.split("=", 1) for line in (made / "compose.env").read_text().splitlines())
    told = COMPOSE["services"][service]["environment"]
    environment = {name: re.sub(r"\$\{(\w+)\}", lambda match: lines[match[1]], value) for name, value in told.items()}

    assert built(environment, monkeypatch, made, service, tmp_path).servicers
    assert {name for name in environment if name.startswith("BAZAAR_")} <= KNOWN


def test_every_variable_of_compose_is_among_its_secrets(made):
    lines = {line.partition("=")[0] for line in (made / "compose.env").read_text().splitlines()}
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)(?::\?[^}]*)?\}", (ROOT / "compose.yaml").read_text()))

    assert asked <= lines


def test_every_secret_that_pods_name_is_made_or_an_operators(kubernetes):
    asked = set()
    for document in (*of_kind("dev", *WORKLOADS), *of_kind("region-a", *WORKLOADS)):
        for volume in document["spec"]["template"]["spec"].get("volumes", []):
            sources = volume.get("projected", {}).get("sources", [])
            asked |= {source["secret"]["name"] for source in sources} | ({volume["secret"]["secretName"]} if "secret" in volume else set())
        for container in containers(document):
            references = [each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", [])]
            asked |= {each["name"] for each in references if each}

    assert asked - kubernetes.keys() == {
        *(f"postgres-{service}-ca" for service in DATABASES),
        "pulsar-tls",
        "pulsar-proxy-tls",
        "redis-tls",
        "mongo-ssl",
        "opensearch-ca",
    }
    assert kubernetes.keys() <= asked


def test_a_service_reads_its_own_secrets_alone():
    read = {}
    for service in SERVICES:
        volumes = named("dev", "Deployment", service)["spec"]["template"]["spec"]["volumes"]
        sources = [source["secret"] for volume in volumes for source in volume.get("projected", {}).get("sources", [])]
        read[service] = {item["key"] for source in sources for item in source["items"]}

    assert read["orders"] == {"pages.json"}
    assert read["pricing"] == {"quote.json"}
    assert [service for service in SERVICES if "jwt.json" in read[service]] == ["users"]


def test_a_migration_speaks_to_pulsar_as_who_may_make_topics(kubernetes, made):
    environment = told(named("dev", "Job", "orders-migrate"), kubernetes)
    address = Address.parse(environment["BAZAAR_EVENTS_URL"])
    key = ECKey.import_key((made / "pulsar_key.pem").read_text())

    assert (address.admin, address.namespace) == ("https://pulsar-broker:8443", "bazaar/shop")
    assert jwt.decode(address.token, key, algorithms=["ES256"]).claims == {"sub": "admin"}
    assert containers(named("dev", "Job", "orders-migrate"))[0]["args"] == ["services", "migrate", "orders"]


def test_every_service_with_a_database_has_one_and_is_migrated():
    made = {document["metadata"]["name"]: document["spec"]["bootstrap"]["initdb"] for document in of_kind("dev", "Cluster")}
    assert made == {
        f"postgres-{name}": {"database": f"bazaar_{name}", "owner": f"bazaar_{name}", "secret": {"name": f"postgres-{name}"}}
        for name in DATABASES
    }
    urls = {
        variable["value"]
        for name in DATABASES
        for variable in containers(named("dev", "Deployment", name))[0]["env"]
        if variable["name"] == "BAZAAR_DATABASE_URL"
    }
    assert [urlsplit(url).hostname for url in urls] == ["postgres-{service}-rw"]
    assert {f"{name}-migrate" for name in DATABASES} <= COMPOSE["services"].keys()
    script = COMPOSE["configs"]["databases"]["content"]
    assert re.search(r"for service in (.*);", script)[1].split() == DATABASES


def test_the_servers_that_services_use_are_those_that_their_code_asks_for():
    def asks(service, what):
        return any(what in path.read_text() for path in (ROOT / "services" / service).rglob("*.py"))

    assert {service for service in SERVICES if asks(service, "kit.redis")} == facts.REDIS
    assert {service for service in SERVICES if asks(service, "kit.mongo")} == facts.MONGO


def test_what_waits_in_pulsar_is_asked_for_by_the_groups_names():
    triggers = {
        (document["metadata"]["name"], trigger["metadata"]["topic"].rpartition("/")[2], trigger["metadata"]["subscription"])
        for document in of_kind("dev", "ScaledObject")
        for trigger in document["spec"]["triggers"]
    }

    assert triggers == {
        ("cart-worker", "orders", "cart"),
        ("orders-worker", "payments", "orders"),
        ("ranking-worker", "order-lines", "ranking"),
        ("search-worker", "catalog", "search"),
        ("search-worker", "prices", "search"),
        ("search-worker", "stock", "search"),
    }


def test_keda_finds_pulsar_from_its_own_namespace():
    asked = {trigger["metadata"]["adminURL"] for each in of_kind("dev", "ScaledObject") for trigger in each["spec"]["triggers"]}
    certified = named("dev", "Certificate", "pulsar")["spec"]["dnsNames"]

    assert asked == {"https://pulsar-broker.bazaar.svc.cluster.local:8443"}
    assert urlsplit(*asked).hostname in certified


def test_the_edge_is_configured_for_every_service_of_the_cluster(tmp_path, monkeypatch):
    for name, address in named("dev", "ConfigMap", "edge-addresses")["data"].items():
        monkeypatch.setenv(name, address)
    write_edge([str(tmp_path), "8080", "0"])
    clusters = yaml.safe_load((tmp_path / "envoy" / "envoy.yaml").read_text())["static_resources"]["clusters"]
    endpoint = {each["name"]: each["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] for each in clusters}

    ports = {document["metadata"]["name"]: document["spec"]["ports"][0]["port"] for document in of_kind("dev", "Service")}
    assert {name: endpoint[name]["socket_address"] for name in SERVICES} == {
        name: {"address": name, "port_value": ports[name]} for name in SERVICES
    }


def copied():
    """What the Dockerfile puts into the image, as (from, to)."""
    lines = re.findall(r"(?m)^COPY (\S+) (/app/\S+)$", (ROOT / "Dockerfile").read_text())
    return [(ROOT / source, Path(target)) for source, target in lines]


@pytest.mark.parametrize("module", ["services", "gateway", "sandbox"])
def test_the_image_holds_every_module_that_its_processes_import(module, tmp_path):
    for source, target in copied():
        place = tmp_path / target.relative_to("/app")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
    program = f"import {module}.__main__ as main; main.find_services([]) if {module == 'services'} else None"
    paths = f"{tmp_path}:{tmp_path / 'generated' / 'python'}"
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-S", "-c", f"import sys; sys.path += {packages()!r}; {program}"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def packages():
    """Where installed packages are, without what .pth files add."""
    return [path for path in sys.path if path.endswith("site-packages")]


def test_the_image_runs_as_nobody_in_particular_and_chooses_by_argument():
    lines = (ROOT / "Dockerfile").read_text()

    assert re.findall(r"(?m)^USER (.*)$", lines) == ["10001:10001"]
    assert re.findall(r"(?m)^ENTRYPOINT (.*)$", lines) == ['["python", "-m"]']
    assert [line for line in re.findall(r"(?m)^FROM (\S+)", lines) if ":" not in line or line.endswith(":latest")] == []
    assert re.search(r"(?m)^(ADD|RUN .*(curl|wget|sudo))", lines) is None


def test_only_what_the_image_copies_goes_to_its_builder():
    named_there = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    used = set(re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text()))

    assert named_there == {word for line in used for word in line.split()}


def test_compose_waits_for_what_it_names_and_shows_itself_to_this_machine_alone():
    services = COMPOSE["services"]
    waits = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    shown = [port for service in services.values() for port in service.get("ports", [])]

    assert {other for others in waits.values() for other in others} <= services.keys()
    assert all(port.startswith("127.0.0.1:") for port in shown)
    assert COMPOSE["networks"]["shop"] == {"internal": True}


def test_names_in_compose_are_containers():
    settings = [value for service in SERVICES for value in COMPOSE["services"][service]["environment"].values()]
    hosts = {urlsplit(value).hostname for value in settings if "://" in value}
    hosts |= {value.partition(":")[0] for name, value in COMPOSE["services"]["orders"]["environment"].items() if "ADDRESS" in name}

    assert hosts - {None} <= COMPOSE["services"].keys()


def test_the_policy_in_the_image_is_the_one_that_the_mesh_is_made_from():
    assert (ROOT / "mesh" / "policy.yaml", Path("/app/mesh/policy.yaml")) in copied()
    assert Policy.load(ROOT / "mesh" / "policy.yaml").grant("/bazaar.orders.v1.OrdersService/GetOrder").callers == {"edge", "checkout"}
