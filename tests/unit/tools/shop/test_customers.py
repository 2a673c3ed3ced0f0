import pytest

from tools.shop.customers import email_of


@pytest.mark.parametrize("name", ["2459", "demo-7", "a_b"])
def test_a_plain_name_is_its_email(name):
    assert email_of(name) == f"{name}@customers.bazaar.local"


@pytest.mark.parametrize("name", ["", "a@b", "Ä", "two words", "x" * 60])
def test_any_other_name_is_hashed(name):
    local, _, domain = email_of(name).partition("@")

    assert (len(local), local.isalnum(), domain) == (32, True, "customers.bazaar.local")


def test_names_that_differ_in_case_are_two_customers():
    assert email_of("a") != email_of("A")
