import pytest

from tools.loading.scenarios.carts import Action, StandingCart, check_cart, is_as_left
from tools.shop import Refused


def usd(minor_units):
    return {"currencyCode": "USD", "minorUnits": str(minor_units)}


def item(price, quantity, amount=None):
    return {"sku": "tv", "price": usd(price), "quantity": quantity, "amount": usd(price * quantity if amount is None else amount)}


def cart(*items, count, subtotal, **more):
    return {"cartId": "c", "items": list(items), "itemCount": count, "subtotal": usd(subtotal), "isStale": False, "degraded": [], **more}


def reason_of(cart):
    with pytest.raises(Refused) as caught:
        check_cart(cart)
    return caught.value.reason


def test_a_cart_that_adds_up_passes():
    check_cart(cart(item(250, 3), item(99, 1), count=4, subtotal=849))


def test_an_empty_cart_needs_no_subtotal():
    check_cart({**cart(count=0, subtotal=0), "subtotal": None})


@pytest.mark.parametrize(
    "wrong",
    [
        cart(item(250, 3, amount=751), count=3, subtotal=751),
        cart(item(250, 3), count=4, subtotal=750),
        cart(item(250, 3), count=3, subtotal=749),
    ],
    ids=["amount", "count", "subtotal"],
)
def test_a_cart_that_does_not_add_up_is_wrong(wrong):
    assert reason_of(wrong) == "CART_WRONG"


@pytest.mark.parametrize("gap", [{"isStale": True}, {"degraded": ["inventory"]}])
def test_a_cart_that_is_not_whole_is_stale(gap):
    assert reason_of(cart(item(250, 1), count=1, subtotal=250, **gap)) == "CART_STALE"


@pytest.mark.parametrize(
    ("found", "after"),
    [
        (["tv", "pen", "cup"], {Action.ADD, Action.LOOK}),
        (["tv", "pen"], {Action.LOOK, Action.TAKE}),
        (["tv", "cup"], set()),
        (["pen", "tv"], set()),
        (["tv", "pen", "cup", "mug"], set()),
    ],
)
def test_a_cart_holds_what_an_action_leaves(found, after):
    cart = StandingCart(customer=None, path="", kept=["tv", "pen"], passing="cup")

    assert {action for action in Action if is_as_left(action, cart, found)} == after
