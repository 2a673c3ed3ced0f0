"""What BAZAAR_EVENTS_URL says about a Pulsar cluster."""

import pytest

from services.kit.events.pulsar.address import Address


def test_everything_is_in_one_url():
    address = Address.parse("pulsar+ssl://:ey.to-ken@a:6651,b:6651/bazaar/shop?ca=/etc/ca.pem&admin=https://a:8443/")

    assert address == Address("pulsar+ssl://a:6651,b:6651", "bazaar/shop", "ey.to-ken", "/etc/ca.pem", "https://a:8443")


def test_a_url_may_do_without_a_token():
    assert Address.parse("pulsar://127.0.0.1:6650/bazaar/shop") == Address("pulsar://127.0.0.1:6650", "bazaar/shop")


def test_a_topic_has_its_full_name():
    assert Address.parse("pulsar://127.0.0.1:6650/bazaar/shop").topic("orders") == "persistent://bazaar/shop/orders"


@pytest.mark.parametrize("url", ["pulsar://", "pulsar://127.0.0.1:6650", "pulsar://127.0.0.1:6650/bazaar", "pulsar:///bazaar/shop"])
def test_a_url_without_a_broker_or_a_namespace_is_refused(url: str):
    with pytest.raises(ValueError, match="TENANT/NAMESPACE"):
        Address.parse(url)


def test_a_token_is_not_shown():
    assert "secret" not in repr(Address.parse("pulsar://:secret@127.0.0.1:6650/bazaar/shop"))
