"""Identifiers: UUIDv7 (RFC 9562), so that rows arrive in index order."""

from __future__ import annotations

import hashlib
import secrets
import time

import uuid_utils

USER_BUCKETS = 4096


def uuid7() -> str:
    """A new id; later ones of this process sort after earlier ones."""
    return str(uuid_utils.uuid7())


def user_bucket(user_id: str) -> int:
    """The user's partition, 0 to 4095: the first 12 bits of SHA-256 of the id."""
    digest = hashlib.sha256(user_id.encode()).digest()
    return digest[0] << 4 | digest[1] >> 4


def order_id_for(user_id: str) -> str:
    """A new UUIDv7 whose rand_a (12 bits) is the user's bucket, so that an order's partition follows from its id alone."""
    milliseconds = time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
    rand_b = secrets.randbits(62)
    number = milliseconds << 80 | 0x7 << 76 | user_bucket(user_id) << 64 | 0b10 << 62 | rand_b
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def bucket_of_order(order_id: str) -> int:
    """The bucket of the user whose order this is.

    Raises:
        ValueError: not a UUIDv7.
    """
    number = uuid_utils.UUID(order_id)
    if number.version != 7:
        raise ValueError(f"{order_id} is not an order id: a UUIDv7 was expected")
    return number.int >> 64 & 0xFFF
