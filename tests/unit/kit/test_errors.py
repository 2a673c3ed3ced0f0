from datetime import timedelta

from services.kit.errors import FailedPrecondition, InvalidArgument, Overloaded, Status


class OutOfStock(FailedPrecondition):
    reason = "OUT_OF_STOCK"


def test_a_subclass_keeps_the_status_of_its_kind_and_names_its_own_reason():
    assert (OutOfStock.status, OutOfStock.reason) == (Status.FAILED_PRECONDITION, "OUT_OF_STOCK")


def test_variable_parts_are_metadata():
    assert OutOfStock("1 tv left", sku="tv", available="1").metadata == {"sku": "tv", "available": "1"}


def test_an_error_prints_as_its_message():
    assert str(OutOfStock("1 tv left", sku="tv")) == "1 tv left"


def test_retry_after_is_not_metadata():
    error = Overloaded("queue is full", retry_after=timedelta(seconds=1), queue="reserve")

    assert (error.retry_after, error.metadata) == (timedelta(seconds=1), {"queue": "reserve"})


def test_an_invalid_argument_names_its_fields():
    error = InvalidArgument("bad page", violations=[("page_size", "must not be negative")])

    assert error.violations == (("page_size", "must not be negative"),)
