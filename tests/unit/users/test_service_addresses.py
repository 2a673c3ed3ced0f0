"""Address books over a real socket."""

from typing import Any

import pytest

from bazaar.users.v1 import users_pb2
from bazaar.users.v1 import users_service_pb2 as pb
from services.kit.ids import uuid7
from tests.serving import Client, refused, user
from tests.unit.users.accounts import ADMIN, register

ADDRESS = {"line1": "1 Main St", "city": "Bengaluru", "state": "KA", "pincode": "560001", "country": "IN"}


async def add_address(client: Client, user_id: str, **fields: Any) -> users_pb2.Address:
    address = users_pb2.Address(**{**ADDRESS, **fields})
    return (await client.CreateAddress(pb.CreateAddressRequest(user_id=user_id, address=address))).address


async def test_an_address_reads_back_with_its_id_and_defaults(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))

    created = await add_address(client, user_id)

    expected = users_pb2.Address(**ADDRESS, address_id=created.address_id, type=users_pb2.Address.HOME, is_default=True)
    assert created == expected
    assert (await client.GetAddress(pb.GetAddressRequest(user_id=user_id, address_id=created.address_id))).address == expected


async def test_checkout_reads_the_address_of_the_user_it_acts_for(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    created = await add_address(Client(stub, user(user_id)), user_id)
    checkout = Client(stub, user(user_id), caller="checkout")

    assert (await checkout.GetAddress(pb.GetAddressRequest(user_id=user_id, address_id=created.address_id))).address == created


async def test_an_address_is_added_once_however_often_it_is_sent(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id)).having(("idempotency-key", "a1"))

    ids = {(await add_address(client, user_id)).address_id for _ in range(2)}

    addresses = (await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses
    assert {address.address_id for address in addresses} == ids
    assert len(addresses) == 1


async def test_the_default_address_is_listed_first(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))
    first, second, third = [await add_address(client, user_id, is_default=number == 2) for number in range(3)]

    addresses = (await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses

    assert [address.address_id for address in addresses] == [third.address_id, first.address_id, second.address_id]


async def test_an_address_is_replaced_and_deleted(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    client = Client(stub, user(user_id))
    created = await add_address(client, user_id)
    moved = users_pb2.Address(**{**ADDRESS, "city": "Mysuru"}, address_id=created.address_id, type=users_pb2.Address.WORK)

    after = (await client.UpdateAddress(pb.UpdateAddressRequest(user_id=user_id, address=moved))).address
    await client.DeleteAddress(pb.DeleteAddressRequest(user_id=user_id, address_id=created.address_id))

    assert (after.city, after.type, after.is_default) == ("Mysuru", users_pb2.Address.WORK, True)
    assert list((await client.ListAddresses(pb.ListAddressesRequest(user_id=user_id))).addresses) == []


async def test_addresses_of_somebody_else_are_as_absent_as_ones_that_never_were(guest: Client, stub: Any):
    owner, _ = await register(guest)
    created = await add_address(Client(stub, user(owner)), owner)
    stranger = Client(stub, user(uuid7()))

    for address_id in (created.address_id, uuid7()):
        address = users_pb2.Address(**ADDRESS, address_id=address_id)
        for call in (
            stranger.GetAddress(pb.GetAddressRequest(user_id=owner, address_id=address_id)),
            stranger.UpdateAddress(pb.UpdateAddressRequest(user_id=owner, address=address)),
            stranger.DeleteAddress(pb.DeleteAddressRequest(user_id=owner, address_id=address_id)),
        ):
            assert await refused(call) == ("NOT_FOUND", "ADDRESS_NOT_FOUND", {"address_id": address_id})
    for call in (stranger.ListAddresses(pb.ListAddressesRequest(user_id=owner)), add_address(stranger, owner)):
        assert await refused(call) == ("NOT_FOUND", "USER_NOT_FOUND", {"user_id": owner})
    assert [len((await Client(stub, ADMIN).ListAddresses(pb.ListAddressesRequest(user_id=owner))).addresses)] == [1]


async def test_an_update_of_no_address_is_not_found(guest: Client, stub: Any):
    user_id, _ = await register(guest)
    request = pb.UpdateAddressRequest(user_id=user_id, address=users_pb2.Address(**ADDRESS))

    assert (await refused(Client(stub, user(user_id)).UpdateAddress(request)))[1] == "ADDRESS_NOT_FOUND"


@pytest.mark.parametrize("fields", [{"line1": ""}, {"country": "India"}, {"type": 9}, {"address_id": "x"}])
async def test_an_address_that_breaks_a_rule_is_refused(stub: Any, fields: dict[str, Any]):
    user_id = uuid7()

    assert (await refused(add_address(Client(stub, user(user_id)), user_id, **fields)))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
