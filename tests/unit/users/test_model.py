from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.users.model import (
    EtagMismatch,
    MaskInvalid,
    PasswordRefused,
    TooManyAddresses,
    User,
    check_imported_hash,
    default_of_changed,
    default_of_new,
    first_repeated,
    may_read,
    normal_email,
    updated,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = User("u1", "ada@example.com", "Ada", "Lovelace", frozenset({"customer"}), NOW, version=7)
SALT_AND_HASH = "$c29tZXNhbHRzb21l$" + "A" * 43


def test_an_email_is_the_same_in_any_case():
    assert normal_email("Ada@Example.COM") == "ada@example.com"


def test_the_first_repeated_email_is_named_by_its_place():
    assert first_repeated(["a", "b", "c", "b", "a"]) == 3


def test_emails_that_come_once_each_repeat_nothing():
    assert first_repeated(["a", "b"]) is None


@pytest.mark.parametrize(
    ("caller_id", "roles", "allowed"),
    [
        ("u1", {"customer"}, True),
        ("u2", {"customer", "seller"}, False),
        ("u2", {"support"}, True),
        ("u2", {"admin"}, True),
        ("", set(), False),
    ],
)
def test_data_is_read_by_its_owner_and_by_staff(caller_id: str, roles: set[str], allowed: bool):
    assert may_read("u1", caller_id=caller_id, roles=roles) is allowed


@pytest.mark.parametrize("costs", ["m=19456,t=2,p=1", "m=262144,t=10,p=16", "m=65536,t=3,p=4"])
def test_a_hash_as_strong_as_ours_is_taken(costs: str):
    check_imported_hash(f"$argon2id$v=19${costs}{SALT_AND_HASH}", "users[0].password_hash")


@pytest.mark.parametrize(
    "encoded",
    [
        "$argon2id$v=19$m=19455,t=2,p=1" + SALT_AND_HASH,
        "$argon2id$v=19$m=19456,t=1,p=1" + SALT_AND_HASH,
        "$argon2id$v=19$m=262145,t=2,p=1" + SALT_AND_HASH,
        "$argon2id$v=19$m=19456,t=11,p=1" + SALT_AND_HASH,
        "$argon2id$v=19$m=19456,t=2,p=0" + SALT_AND_HASH,
        "$argon2id$v=19$m=19456,t=2,p=17" + SALT_AND_HASH,
        "$argon2i$v=19$m=19456,t=2,p=1" + SALT_AND_HASH,
        "$argon2id$v=16$m=19456,t=2,p=1" + SALT_AND_HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$c2hvcnQ$" + "A" * 43,
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$" + "A" * 21,
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$" + "A" * 41,
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "hunter2",
        "",
    ],
)
def test_a_hash_that_is_weak_costly_or_no_argon2id_is_refused(encoded: str):
    with pytest.raises(PasswordRefused) as caught:
        check_imported_hash(encoded, "users[3].password_hash")

    assert [field for field, _ in caught.value.violations] == ["users[3].password_hash"]


def test_an_update_without_a_mask_replaces_all_that_can_be_written():
    after = updated(ADA, {"first_name": "Augusta", "last_name": ""}, [], "")

    assert after == replace(ADA, first_name="Augusta", last_name="", version=8)


def test_a_star_in_the_mask_means_all_that_can_be_written():
    after = updated(ADA, {"first_name": "Augusta", "last_name": ""}, ["*"], "")

    assert after == replace(ADA, first_name="Augusta", last_name="", version=8)


def test_an_update_takes_only_what_the_mask_names():
    after = updated(ADA, {"first_name": "Augusta", "last_name": "King"}, ["last_name"], "7")

    assert after == replace(ADA, last_name="King", version=8)


def test_fields_that_only_we_write_are_ignored_in_a_mask():
    assert updated(ADA, {"first_name": "x", "last_name": "y"}, ["email", "roles", "user_id", "etag", "create_time"], "") == ADA


def test_an_unknown_field_in_the_mask_is_refused():
    with pytest.raises(MaskInvalid) as caught:
        updated(ADA, {"first_name": "x", "last_name": "y"}, ["first_name", "password"], "")

    assert caught.value.violations == (("update_mask", "password is no field of User"),)


@pytest.mark.parametrize("etag", ["6", "8", "ada"])
def test_an_etag_of_another_version_is_refused(etag: str):
    with pytest.raises(EtagMismatch) as caught:
        updated(ADA, {"first_name": "x", "last_name": "y"}, [], etag)

    assert caught.value.metadata == {"etag": "7"}


@pytest.mark.parametrize(("count", "wanted", "is_default"), [(0, False, True), (0, True, True), (1, False, False), (49, True, True)])
def test_the_first_address_is_the_default_and_so_is_one_that_asks_for_it(count: int, wanted: bool, is_default: bool):
    assert default_of_new(count, wanted=wanted) is is_default


def test_there_is_no_51st_address():
    with pytest.raises(TooManyAddresses) as caught:
        default_of_new(50, wanted=False)

    assert caught.value.metadata == {"limit": "50"}


@pytest.mark.parametrize(
    ("was_default", "wanted", "is_default"), [(True, False, True), (True, True, True), (False, True, True), (False, False, False)]
)
def test_the_default_address_can_be_taken_over_but_not_given_up(was_default: bool, wanted: bool, is_default: bool):
    assert default_of_changed(was_default=was_default, wanted=wanted) is is_default
