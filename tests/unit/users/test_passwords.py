import asyncio
import threading

import pytest

from services.kit.errors import Overloaded
from services.users import passwords
from services.users.model import check_imported_hash
from services.users.passwords import Passwords


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(thread, costs) of every check that was made."""
    seen: list[tuple[str, str]] = []
    check = passwords._is_right

    def noted(password: str, encoded: str) -> bool:
        seen.append((threading.current_thread().name.rpartition("_")[0], encoded.split("$")[3]))
        return check(password, encoded)

    monkeypatch.setattr(passwords, "_is_right", noted)
    return seen


async def test_our_own_hashes_are_as_strong_as_we_ask_of_others():
    encoded = await Passwords().hash("correct horse")

    check_imported_hash(encoded, "password_hash")
    assert encoded.split("$")[1:4] == ["argon2id", "v=19", "m=19456,t=2,p=1"]


async def test_a_password_is_right_for_its_own_hash_only():
    kept = Passwords()
    encoded = await kept.hash("correct horse")

    assert [await kept.is_right(password, encoded) for password in ("correct horse", "correct horsf")] == [True, False]


async def test_a_hash_that_is_none_fits_no_password():
    assert await Passwords().is_right("", "") is False


async def test_nobodys_password_is_checked_at_the_same_cost_and_is_wrong(checked: list[tuple[str, str]]):
    kept = Passwords()
    encoded = await kept.hash("correct horse")

    assert [await kept.is_right("wrong", encoded), await kept.is_right("", None)] == [False, False]
    assert checked == [("argon2", "m=19456,t=2,p=1")] * 2


async def test_a_batch_is_hashed_in_order():
    kept = Passwords()
    encoded = await kept.hash_all(["one", "two", "three"])

    assert [await kept.is_right(password, made) for password, made in zip(["one", "two", "three"], encoded, strict=True)] == [True] * 3


async def test_who_comes_when_too_many_wait_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "MOST_WAITING", 2)
    kept = Passwords()

    outcomes = await asyncio.gather(*(kept.hash("x") for _ in range(3)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [str, str, Overloaded]
    assert await kept.hash("x")
