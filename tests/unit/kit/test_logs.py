import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from services.kit.telemetry import logs, tracing
from services.kit.telemetry.personal import is_personal
from tests.personal_data import findings
from tests.spans import recorded

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged since, each line read as JSON."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.setup("worker-1", "info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def log() -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger("services.orders")


def test_a_line_says_what_where_and_how_grave(lines: Lines):
    log().warning("relay is late", seconds=3)

    (line,) = lines()
    assert (line["event"], line["level"], line["logger"], line["process"], line["seconds"]) == (
        "relay is late",
        "warning",
        "services.orders",
        "worker-1",
        3,
    )


def test_a_line_carries_its_trace_service_method_and_order(lines: Lines):
    with (
        recorded() as spans,
        tracing.span("PlaceOrder", service="checkout", attributes={"rpc.method": "bazaar.X/Y", "bazaar.order_id": "o-1"}),
    ):
        log().info("placed")

    (line,) = lines()
    assert (line["trace_id"], line["service"], line["method"], line["order_id"]) == (
        f"{spans.named('PlaceOrder').context.trace_id:032x}",
        "checkout",
        "bazaar.X/Y",
        "o-1",
    )


def test_a_line_in_a_trace_that_is_not_recorded_carries_its_id_too(lines: Lines):
    with recorded(sampling="0"), tracing.span("PlaceOrder"):
        log().info("placed")

    assert len(lines()[0]["trace_id"]) == 32


def test_lines_of_libraries_look_the_same(lines: Lines):
    logging.getLogger("grpc").error("lost %s", "worker-2")

    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("lost worker-2", "error", "grpc")


def test_lines_below_the_level_are_left_out(lines: Lines):
    log().debug("detail")

    assert lines() == []


@pytest.mark.parametrize(
    "field",
    [
        "email",
        "phone",
        "shippingAddress",
        "card_number",
        "name",
        "first_name",
        "accessToken",
        "password",
        "Authorization",
        "request",
        "otp",
    ],
)
def test_a_personal_field_is_redacted(lines: Lines, field: str):
    log().info("registered", **{field: "Asha"})

    assert lines()[0][field] == "[redacted]"


def test_a_personal_field_is_redacted_however_deep(lines: Lines):
    log().info("registered", user={"id": "u-1", "contacts": [{"email": "asha@example.com"}]})

    assert lines()[0]["user"] == {"id": "u-1", "contacts": [{"email": "[redacted]"}]}


@pytest.mark.parametrize("field", ["order_id", "request_id", "service_name", "topic_name", "reason", "mailbox_depth", "partition", "spin"])
def test_a_harmless_field_is_kept(field: str):
    assert not is_personal(field)


@pytest.mark.parametrize(
    "text",
    [
        "asha@example.com",
        "+91 98765 43210",
        "4111 1111 1111 1111",
        "4111111111111111",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1LTEifQ.c2ln",
        "postgresql://bazaar:s3cret@127.0.0.1/orders",
    ],
)
def test_a_personal_text_is_redacted(lines: Lines, text: str):
    log().info(f"refused {text}", detail=[text])

    assert findings(json.dumps(lines())) == []


@pytest.mark.parametrize("text", ["0190c0de-0000-7000-8000-000000000001", "2026-10-30T12:00:00.123456Z", "127.0.0.1:12345", "176182560000"])
def test_ids_times_and_addresses_of_machines_are_kept(lines: Lines, text: str):
    log().info("seen", what=text)

    assert lines()[0]["what"] == text


def test_an_exception_is_told_without_the_row_it_is_about(lines: Lines):
    try:
        raise ValueError('duplicate key value violates "users_email"\nDETAIL:  Key (full_name)=(Asha Rao) already exists.')
    except ValueError:
        log().exception("could not register")

    (exception,) = lines()[0]["exception"]
    assert (exception["type"], exception["what"]) == ("ValueError", 'duplicate key value violates "users_email"')


def test_an_exception_says_where_it_came_from(lines: Lines):
    def fails() -> None:
        raise KeyError("x")

    try:
        fails()
    except KeyError:
        logging.getLogger("asyncio").exception("task failed")

    assert lines()[0]["exception"][0]["at"][-1].endswith(" fails")


def test_an_exception_is_told_with_its_cause(lines: Lines):
    try:
        try:
            raise KeyError("x")
        except KeyError as error:
            raise RuntimeError("gave up") from error
    except RuntimeError:
        log().exception("failed")

    assert [exception["type"] for exception in lines()[0]["exception"]] == ["RuntimeError", "KeyError"]


def test_the_scanner_tells_a_cursor_from_a_card():
    assert findings('{"cmd":{"getMore":3621930199043868780,"collection":"categories"}}') == []
    assert findings('{"note":"3621930199043868780"}') == ["card: 3621930199043868780"]


def test_the_scanner_finds_what_a_redaction_missed():
    line = '{"start":1761825600000000000,"what":"asha@example.com 4111-1111-1111-1111 12 MG Road","email":"x"}'

    assert findings(line, known=["12 MG Road"]) == [
        "known: 12 MG Road",
        "email: asha@example.com",
        "card: 4111-1111-1111-1111",
        'field: "email":"',
    ]
