"""The order in which the sandbox sends its webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.books import Books, Webhook


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """Two cards' payments, the first of which has been authorized and captured, the other authorized."""
    books = Books(tmp_path / "books.sqlite")
    for payment_id, *actions in (("first", "authorize", "capture"), ("other", "authorize")):
        books.open(payment_id, "CARD", "USD", 1000, "")
        for action in actions:
            books.act(payment_id, action)
    yield books
    books.close()


def what(webhook: Webhook) -> tuple[str, str]:
    return webhook.payment_id, "CAPTURED" if b"CAPTURED" in webhook.body else "AUTHORIZED"


def test_a_payment_whose_webhook_is_under_way_holds_up_no_other(books: Books):
    assert [what(books.next_webhook()), what(books.next_webhook())] == [("first", "AUTHORIZED"), ("other", "AUTHORIZED")]


def test_a_payments_next_webhook_waits_until_the_one_before_has_been_taken(books: Books):
    first, other = books.next_webhook(), books.next_webhook()
    books.delivered(other)
    books.delivered(first)

    assert what(books.next_webhook()) == ("first", "CAPTURED")


def test_a_webhook_that_was_put_off_lets_the_payments_next_one_pass(books: Books):
    books.put_off(books.next_webhook())

    assert what(books.next_webhook()) == ("first", "CAPTURED")
