import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from services.kit.auth import ANONYMOUS, Policy, PolicyInvalid, Principal, claims_of, principal_from_claims
from services.kit.errors import MethodNotGranted, Unauthenticated

POLICY = Policy(
    yaml.safe_load("""
    identities:
      edge: {on_behalf_of_user: true}
      checkout: {on_behalf_of_user: true}
      ranking: {}
    methods:
      shop.v1.Carts/AddItem: {callers: [edge, checkout], roles: [customer, admin], timeout: 2s}
      shop.v1.Catalog/GetProduct: {callers: [edge], roles: [anyone]}
      shop.v1.Stock/Reserve: {callers: [checkout]}
    """)
)
ADD_ITEM = POLICY.grant("/shop.v1.Carts/AddItem")
CUSTOMER = Principal("user", "u1", frozenset({"customer"}), "s1")
SELLER = Principal("user", "u2", frozenset({"seller"}), "s2")


def encoded(**claims: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def test_a_method_that_the_table_does_not_name_is_denied_to_everyone():
    with pytest.raises(MethodNotGranted):
        POLICY.grant("/shop.v1.Carts/Forgotten").check("edge", CUSTOMER)


def test_a_caller_that_is_not_named_is_denied_whatever_the_user():
    with pytest.raises(MethodNotGranted) as caught:
        ADD_ITEM.check("ranking", CUSTOMER)

    assert caught.value.metadata == {"method": "shop.v1.Carts/AddItem"}


def test_a_user_with_one_of_the_roles_passes():
    ADD_ITEM.check("edge", CUSTOMER)


def test_a_user_without_the_roles_is_denied():
    with pytest.raises(MethodNotGranted):
        ADD_ITEM.check("edge", SELLER)


def test_a_method_with_roles_needs_a_user():
    with pytest.raises(Unauthenticated):
        ADD_ITEM.check("edge", ANONYMOUS)


def test_anyone_needs_no_user():
    POLICY.grant("/shop.v1.Catalog/GetProduct").check("edge", ANONYMOUS)


def test_a_named_service_passes_in_its_own_name():
    ADD_ITEM.check("checkout", Principal("service", "checkout"))


def test_an_internal_method_asks_for_no_role():
    POLICY.grant("/shop.v1.Stock/Reserve").check("checkout", CUSTOMER)


def test_the_timeout_of_a_method_is_read():
    assert ADD_ITEM.timeout == timedelta(seconds=2)


def test_the_user_is_believed_from_a_caller_that_speaks_for_users():
    assert POLICY.principal("checkout", encoded(sub="u1", roles=["customer"], sid="s1")) == CUSTOMER


def test_the_user_is_stripped_from_any_other_caller():
    assert POLICY.principal("ranking", encoded(sub="u1", roles=["admin"])) == Principal("service", "ranking")


def test_the_edge_without_a_token_is_anonymous():
    assert POLICY.principal("edge", "") == ANONYMOUS


def test_a_service_without_a_user_calls_in_its_own_name():
    assert POLICY.principal("checkout", "") == Principal("service", "checkout")


def test_a_service_that_works_for_a_guest_does_not_gain_its_own_rights():
    assert POLICY.principal("checkout", claims_of(ANONYMOUS)) == ANONYMOUS


def test_claims_are_passed_on_unchanged():
    assert principal_from_claims(claims_of(CUSTOMER)) == CUSTOMER


@pytest.mark.parametrize("claims", ["%%%", "bm90IGpzb24", encoded(roles=["admin"]), encoded(sub=7), encoded(sub="u", roles=[1])])
def test_claims_that_cannot_be_read_are_no_user(claims: str):
    with pytest.raises(Unauthenticated):
        principal_from_claims(claims)


def test_principals_of_different_kinds_have_different_keys():
    assert [CUSTOMER.key, Principal("service", "u1").key, ANONYMOUS.key] == ["user:u1", "service:u1", "anonymous:"]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"callers": ["edge"]}, "without saying which roles"),
        ({"callers": ["nobody"]}, "no identity: nobody"),
        ({"callers": ["edge"], "role": ["admin"]}, "unknown key: role"),
        ({"callers": "edge"}, "callers as a list"),
        ({"callers": ["edge"], "roles": ["anyone"], "timeout": "soon"}, "isn't like 500ms"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(entry: dict[str, object], complaint: str):
    with pytest.raises(PolicyInvalid, match=complaint):
        Policy({"identities": {"edge": {}}, "methods": {"shop.v1.Carts/AddItem": entry}})


def test_a_missing_table_is_refused(tmp_path: Path):
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        Policy.load(tmp_path / "policy.yaml")
