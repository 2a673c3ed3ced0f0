"""Checkout: turns a cart into an order, and keeps nothing itself."""

from bazaar.cart.v1.cart_service_pb2_grpc import CartServiceStub
from bazaar.checkout.v1.checkout_service_pb2_grpc import add_CheckoutServiceServicer_to_server
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from bazaar.users.v1.users_service_pb2_grpc import UsersServiceStub
from services.checkout.saga import Neighbours
from services.checkout.service import CheckoutServicer
from services.kit.service import Parts, Service, ServiceKit


def build(kit: ServiceKit) -> Parts:
    """Wires checkout to the services it goes through."""
    neighbours = Neighbours(
        cart=CartServiceStub(kit.channel("cart")),
        users=UsersServiceStub(kit.channel("users")),
        pricing=PricingServiceStub(kit.channel("pricing")),
        inventory=InventoryServiceStub(kit.channel("inventory")),
        orders=OrdersServiceStub(kit.channel("orders")),
        payments=PaymentsServiceStub(kit.channel("payments")),
    )
    return Parts(servicers=[(add_CheckoutServiceServicer_to_server, CheckoutServicer(neighbours))])


SERVICE = Service("checkout", build)
