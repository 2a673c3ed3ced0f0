import time
from uuid import UUID

import pytest

from services.kit.ids import bucket_of_order, order_id_for, user_bucket, uuid7


def test_ids_of_a_process_sort_in_the_order_they_were_made():
    made = [uuid7() for _ in range(1000)]

    assert made == sorted(made)


def test_a_users_bucket_is_the_first_12_bits_of_the_ids_sha256():
    assert user_bucket("user-1") == 0xC6C  # sha256("user-1") begins with c6c289


def test_an_order_id_is_a_uuid_of_version_7_that_begins_with_the_time():
    before = time.time_ns() // 1_000_000
    order_id = UUID(order_id_for("user-1"))

    assert (order_id.version, order_id.variant) == (7, "specified in RFC 4122")
    assert before <= order_id.int >> 80 <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("user_id", ["", "user-1", "019a0000-0000-7000-8000-000000000000", "प्रिया"])
def test_an_order_id_carries_the_bucket_of_its_user(user_id: str):
    assert bucket_of_order(order_id_for(user_id)) == user_bucket(user_id)


def test_two_orders_of_a_user_differ():
    assert order_id_for("user-1") != order_id_for("user-1")


@pytest.mark.parametrize("other", ["not-an-id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
def test_what_is_no_uuid_of_version_7_has_no_bucket(other: str):
    with pytest.raises(ValueError):
        bucket_of_order(other)
