import pytest

from bazaar.ranking.v1.ranking_service_pb2 import QueryTopProductsResponse
from services.kit.rpc.caching import caching_of

caching = caching_of(QueryTopProductsResponse.DESCRIPTOR, 5)


def top(product_id="p1", **fields):
    return QueryTopProductsResponse(products=[{"product_id": product_id}], **fields)


@pytest.mark.parametrize(("has_user", "control"), [(False, "public, max-age=5"), (True, "private, no-cache")])
def test_what_a_user_is_told_only_the_user_keeps(has_user, control):
    assert dict(caching(top(), has_user))["cache-control"] == control


def test_an_answer_that_lacks_something_is_not_kept():
    assert caching(top(degraded=["catalog"]), False) == ()


def test_the_same_content_has_the_same_name_whenever_it_was_read():
    early, late = top(as_of={"seconds": 1}), top(as_of={"seconds": 2})

    assert caching(early, False) == caching(late, False)
    assert (early.as_of.seconds, late.as_of.seconds) == (1, 2)


def test_other_content_has_another_name():
    assert dict(caching(top("p1"), False))["etag"] != dict(caching(top("p2"), False))["etag"]
