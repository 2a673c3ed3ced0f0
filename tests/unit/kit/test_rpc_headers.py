import pytest

from bazaar.ranking.v1.ranking_service_pb2 import QueryTopProductsResponse
from bazaar.users.v1.users_service_pb2 import CreateAddressRequest, CreateAddressResponse
from services.kit.rpc.headers import caching, locating

kept = caching(QueryTopProductsResponse.DESCRIPTOR, 5)


def top(product_id="p1", **fields):
    return QueryTopProductsResponse(products=[{"product_id": product_id}], **fields)


@pytest.mark.parametrize(("has_user", "control"), [(False, "public, max-age=5"), (True, "private, no-cache")])
def test_what_a_user_is_told_only_the_user_keeps(has_user, control):
    assert dict(kept(None, top(), has_user))["cache-control"] == control


def test_an_answer_that_lacks_something_is_not_kept():
    assert kept(None, top(degraded=["catalog"]), False) == ()


def test_the_same_content_has_the_same_name_whenever_it_was_read():
    early, late = top(as_of={"seconds": 1}), top(as_of={"seconds": 2})

    assert kept(None, early, False) == kept(None, late, False)
    assert (early.as_of.seconds, late.as_of.seconds) == (1, 2)


def test_other_content_has_another_name():
    assert dict(kept(None, top("p1"), False))["etag"] != dict(kept(None, top("p2"), False))["etag"]


def test_what_was_made_is_found_by_fields_of_the_response_and_of_the_request():
    located = locating(CreateAddressResponse.DESCRIPTOR, "/v1/users/{user_id}/addresses/{address.address_id}")
    request, response = CreateAddressRequest(user_id="u/1"), CreateAddressResponse(address={"address_id": "a1"})

    assert located(request, response, True) == (("location", "/v1/users/u%2F1/addresses/a1"),)
