"""The broker itself: whom it lets in, and what it keeps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pulsar as client
import pytest

from services.kit.events.pulsar.address import Address
from services.kit.ids import uuid7
from tests.pulsar import Broker, running_pulsar
from tools.secrets import MAKERS
from tools.servers.java import find_java
from tools.servers.pulsar import JAVA, archive, credentials, storage
from tools.servers.pulsar.server import SIGNING_KEY

pytestmark = pytest.mark.pulsar
CLEAN = 128 + signal.SIGTERM


class Admin:
    """The broker's admin interface, as `role`."""

    def __init__(self, broker: Broker, role: str = "admin") -> None:
        address = Address.parse(broker.admin_url())
        headers = {"Authorization": f"Bearer {Address.parse(broker.url(role)).token}"}
        self._http = httpx.Client(base_url=f"{address.admin}/admin/v2/", headers=headers, trust_env=False)

    def make_topic(self, name: str) -> None:
        self._http.put(f"persistent/bazaar/shop/{name}/partitions", json=1).raise_for_status()

    def grant(self, topic: str, role: str, *actions: str) -> None:
        self._http.post(f"persistent/bazaar/shop/{topic}/permissions/{role}", json=actions).raise_for_status()

    def status(self, path: str) -> int:
        return self._http.get(path).status_code


@contextmanager
def connected(url: str, token: str | None = None) -> Iterator[client.Client]:
    """A client, with another token than the URL's, or none (an empty one), when that is given."""
    address = Address.parse(url)
    token = address.token if token is None else token
    opened = client.Client(
        address.brokers,
        authentication=client.AuthenticationToken(token) if token else None,
        operation_timeout_seconds=2,
        tls_trust_certs_file_path=address.ca_file or None,
        logger=client.ConsoleLogger(client.LoggerLevel.Error),
    )
    try:
        yield opened
    finally:
        opened.close()


def send(url: str, topic: str, text: str, token: str | None = None) -> None:
    with connected(url, token) as opened:
        opened.create_producer(f"persistent://bazaar/shop/{topic}").send(text.encode())


def read(url: str, topic: str) -> list[str]:
    """Everything in the topic."""
    with connected(url) as opened:
        reader = opened.create_reader(f"persistent://bazaar/shop/{topic}", client.MessageId.earliest)
        found: list[str] = []
        while reader.has_message_available():
            found.append(reader.read_next(5000).data().decode())
        return found


@pytest.fixture
def topic(pulsar: Broker) -> str:
    """A topic that `worker` may write to."""
    name, admin = uuid7(), Admin(pulsar)
    admin.make_topic(name)
    admin.grant(name, "worker", "produce")
    return name


def test_a_role_with_a_grant_is_let_in(pulsar, topic):
    send(pulsar.url("worker"), topic, "hello")

    assert read(pulsar.admin_url(), topic) == ["hello"]


def test_a_role_without_a_grant_is_refused(pulsar, topic):
    with pytest.raises(client.AuthorizationError):
        send(pulsar.url("stranger"), topic, "hello")

    assert read(pulsar.admin_url(), topic) == []


def test_a_token_that_another_key_signed_is_refused(pulsar, topic):
    with pytest.raises(client.PulsarException):
        send(pulsar.url("worker"), topic, "hello", credentials.token(MAKERS[SIGNING_KEY](), "admin"))

    assert read(pulsar.admin_url(), topic) == []


def test_who_has_no_token_is_refused(pulsar, topic):
    with pytest.raises(client.PulsarException):
        send(pulsar.url("worker"), topic, "hello", "")

    assert read(pulsar.admin_url(), topic) == []


def test_over_tls_the_same_role_is_let_in(pulsar, topic):
    send(pulsar.tls_url("worker"), topic, "hello")

    assert read(pulsar.admin_url(), topic) == ["hello"]


def test_a_client_that_knows_not_the_authority_goes_away(pulsar, topic):
    with pytest.raises(client.ConnectError):
        send(pulsar.tls_url("worker").partition("?")[0], topic, "hello")


def test_a_topic_that_nobody_declared_is_not_made_by_use(pulsar):
    with pytest.raises(client.TopicNotFound):
        send(pulsar.admin_url(), uuid7(), "hello")


def test_administration_is_for_the_admin_alone(pulsar):
    assert Admin(pulsar).status("namespaces/bazaar") == 200
    assert Admin(pulsar, "worker").status("namespaces/bazaar") == 401


def test_the_settings_and_the_keys_are_the_owners_alone(pulsar):
    secrets = pulsar.log.parent / "secrets"
    files = [pulsar.log.parent / "pulsar" / "standalone.conf", *secrets.glob("pulsar*")]

    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len(files) == 5


def test_it_starts_with_the_classes_that_were_kept(pulsar):
    kept = archive(find_java(os.environ, JAVA), os.environ)

    assert str(kept) in Path(f"/proc/{pulsar.pid}/maps").read_text()


def test_the_log_shows_no_token(pulsar):
    assert "eyJ" not in pulsar.log.read_text()


def test_what_was_sent_outlives_a_stop_and_a_kill(pulsar_jars: Path, folder: Path):
    with running_pulsar(folder) as broker:
        Admin(broker).make_topic("kept")
        send(broker.admin_url(), "kept", "before the stop")
        metadata = folder / "pulsar" / "metadata"

        assert (broker.stop(), storage.was_cut_off(metadata)) == (CLEAN, False)
        broker.start()
        send(broker.admin_url(), "kept", "before the kill")
        broker.kill()
        assert storage.was_cut_off(metadata)
        broker.start()

        assert read(broker.admin_url(), "kept") == ["before the stop", "before the kill"]
