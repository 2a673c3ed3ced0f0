"""Carts as tests of the store fill and read them."""

from datetime import UTC, datetime, timedelta

from services.cart.model import Cart, Facts, Product, added
from services.cart.store import CartStore
from services.kit.idempotency import Once
from services.kit.money import Money

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SKUS = ("tv", "pen", "mug")
FACTS = Facts(
    frozenset(SKUS),
    {sku: Product(sku, sku.title(), is_on_sale=True, skus=(sku,)) for sku in SKUS},
    {sku: Money("INR", 500) for sku in SKUS},
    None,
)
LOCK_CART = "SELECT 1 FROM carts WHERE cart_id = %s FOR UPDATE"


def quietly() -> Once[Cart]:
    return Once(None, lambda cart: cart.cart_id.encode())


async def add(carts: CartStore, user_id: str, sku: str = "tv", quantity: int = 1, *, cart_id: str = "", now: datetime = NOW) -> str:
    once = quietly()
    return (await carts.change(user_id, cart_id, lambda cart: added(cart, sku, quantity, FACTS), now, once=once)).decode()


async def quantities(carts: CartStore, user_id: str, cart_id: str = "") -> dict[str, int]:
    return {item.sku: item.quantity for item in (await carts.find(user_id, cart_id)).items}
