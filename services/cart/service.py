"""The gRPC servicer of carts."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message

from bazaar.cart.v1 import cart_service_pb2 as pb
from bazaar.cart.v1.cart_service_pb2_grpc import CartServiceServicer
from services.cart import wire
from services.cart.model import Cart, CartNotFound, Facts, added, only_sku, with_quantity, without
from services.cart.neighbours import Neighbours, catalog_away
from services.cart.store import CartStore
from services.kit.clock import Clock
from services.kit.idempotency import Once
from services.kit.paging import PageTokens
from services.kit.rpc import calls


class CartServicer(CartServiceServicer):
    """Keeps carts."""

    def __init__(self, carts: CartStore, neighbours: Neighbours, pages: PageTokens, clock: Clock) -> None:
        self._carts = carts
        self._neighbours = neighbours
        self._pages = pages
        self._clock = clock

    async def CreateCart(self, request, context):
        once = Once(calls.request_key(request), _responding(lambda cart: pb.CreateCartResponse(cart=wire.bare_cart(cart))))
        return pb.CreateCartResponse.FromString(await self._carts.create(_user_id(), self._clock(), once=once))

    async def GetCart(self, request, context):
        cart = await self._carts.find(_user_id(), request.cart_id)
        return pb.GetCartResponse(cart=wire.shown_cart(cart, await self._neighbours.facts(cart)))

    async def ListCarts(self, request, context):
        user_id, size = _user_id(), request.page_size or 20
        query = f"cart.ListCarts {user_id}"
        position = self._pages.decode(query, request.page_token)
        carts = await self._carts.list(user_id, before=str(position[0]) if position else None, limit=size + 1)
        token = self._pages.encode(query, [carts[size - 1].cart_id]) if len(carts) > size else ""
        return pb.ListCartsResponse(carts=map(wire.bare_cart, carts[:size]), next_page_token=token)

    async def GetItemCount(self, request, context):
        return pb.GetItemCountResponse(item_count=await self._carts.count(_user_id(), request.cart_id))

    async def AddItem(self, request, context):
        user_id = _user_id()
        sku = request.sku or only_sku(request.product_id, await self._neighbours.product(request.product_id))
        # Asked before the cart is locked: no neighbour is waited for while another device waits for us.
        facts = await self._neighbours.facts(await self._carts.find(user_id, request.cart_id), sku)

        def add(cart: Cart) -> Cart:
            if facts.products is None:
                raise catalog_away()
            return added(cart, sku, request.quantity, facts)

        once = Once(calls.request_key(request), _responding(lambda cart: pb.AddItemResponse(cart=wire.shown_cart(cart, facts))))
        return pb.AddItemResponse.FromString(await self._change(request.cart_id, add, once))

    async def UpdateItem(self, request, context):
        facts = await self._facts(request.cart_id)
        once = Once(None, _responding(lambda cart: pb.UpdateItemResponse(cart=wire.shown_cart(cart, facts))))
        return pb.UpdateItemResponse.FromString(
            await self._change(request.cart_id, lambda cart: with_quantity(cart, request.sku, request.quantity, facts), once)
        )

    async def RemoveItem(self, request, context):
        facts = await self._facts(request.cart_id)
        once = Once(None, _responding(lambda cart: pb.RemoveItemResponse(cart=wire.shown_cart(cart, facts))))
        return pb.RemoveItemResponse.FromString(await self._change(request.cart_id, lambda cart: without(cart, request.sku), once))

    async def GetCheckoutLines(self, request, context):
        user_id = request.user_id.lower()
        if user_id != _user_id():
            raise CartNotFound(request.cart_id)
        ordered = await self._carts.checkout_lines(user_id, request.cart_id)
        line = pb.GetCheckoutLinesResponse.Line
        return pb.GetCheckoutLinesResponse(
            cart_id=ordered.cart_id, lines=[line(sku=sku, quantity=units) for sku, units in ordered.quantities.items()]
        )

    async def _facts(self, cart_id: str) -> Facts:
        return await self._neighbours.facts(await self._carts.find(_user_id(), cart_id))

    async def _change(self, cart_id: str, change: Callable[[Cart], Cart], once: Once[Cart]) -> bytes:
        return await self._carts.change(_user_id(), cart_id, change, self._clock(), once=once)


def _user_id() -> str:
    return calls.current().principal.id


def _responding(response: Callable[[Cart], Message]) -> Callable[[Cart], bytes]:
    return lambda cart: response(cart).SerializeToString()
