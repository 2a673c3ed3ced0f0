from pathlib import Path

import pytest

from services.kit.settings import Settings, settings_reference


def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BAZAAR_LISTEN", "unix:/run/bazaar/w.sock")

    assert Settings().listen == "unix:/run/bazaar/w.sock"


def test_addresses_are_collected_by_service(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BAZAAR_ADDRESS_ORDERS", "unix:/orders.sock")
    monkeypatch.setenv("BAZAAR_ADDRESS_USERS", "unix:/users.sock")

    assert Settings().addresses == {"orders": "unix:/orders.sock", "users": "unix:/users.sock"}


def test_each_service_has_a_database_of_its_own():
    settings = Settings(database_url="postgresql://bazaar_{service}@/bazaar_{service}?host=/run/pg")

    assert settings.database_url_of("orders") == "postgresql://bazaar_orders@/bazaar_orders?host=/run/pg"


def test_a_url_that_may_hold_a_password_is_not_printed():
    assert "hunter2" not in repr(Settings(redis_url="redis://:hunter2@127.0.0.1:7100"))


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BAZAAR_PROCESS", "")

    assert Settings().process == "worker-1"


def test_every_setting_is_documented():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_reference_shows_name_default_and_meaning():
    assert "| `BAZAAR_DRAIN_TIMEOUT_SECONDS` | `10` | How long a stopping process lets calls finish. |" in settings_reference()


def test_the_reference_names_no_path_of_the_machine():
    assert str(Path.cwd()) not in settings_reference()
