import orjson
import pytest

from tools.shop import Refused
from tools.shop.client import patiently, refusal


def error(status, code, reason):
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "bazaar.dev", "metadata": {"sku": "tv"}}
    return refusal(status, orjson.dumps({"code": code, "message": "No.", "details": [info]}))


def test_an_error_says_why():
    refused = error(400, 9, "OUT_OF_STOCK")

    assert (refused.reason, refused.text, refused.metadata) == ("OUT_OF_STOCK", "No.", {"sku": "tv"})
    assert str(refused) == "the shop refuses: No. (OUT_OF_STOCK)"


def test_an_error_that_says_nothing_is_named_by_its_status():
    assert refusal(502, b"<html>").reason == "HTTP_502"


@pytest.mark.parametrize(
    ("status", "code", "may_pass"),
    [
        (503, 14, True),
        (504, 4, True),
        (429, 8, True),
        (409, 10, True),
        (409, 6, False),
        (400, 9, False),
        (401, 16, False),
        (500, 13, False),
    ],
)
def test_what_may_pass_a_little_later(status, code, may_pass):
    assert error(status, code, "X").may_pass == may_pass


async def test_patience_repeats_what_may_pass():
    answers = [error(503, 14, "UNAVAILABLE"), error(409, 10, "REQUEST_IN_PROGRESS"), "done"]

    async def call():
        if isinstance(answer := answers.pop(0), Refused):
            raise answer
        return answer

    assert await patiently(call) == "done"


async def test_patience_ends():
    async def call():
        raise error(503, 14, "UNAVAILABLE")

    with pytest.raises(Refused):
        await patiently(call, seconds=0.05)
