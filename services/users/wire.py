"""Between protobuf and the model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from bazaar.users.v1 import users_pb2, users_service_pb2
from services.users.access import Session
from services.users.model import Address, User


def user(of: User) -> users_pb2.User:
    return users_pb2.User(
        user_id=of.user_id,
        email=of.email,
        first_name=of.first_name,
        last_name=of.last_name,
        roles=sorted(of.roles),
        create_time=timestamp(of.created_at),
        etag=of.etag,
    )


def address(of: Address) -> users_pb2.Address:
    return users_pb2.Address(
        address_id=of.address_id,
        line1=of.line1,
        line2=of.line2,
        city=of.city,
        state=of.state,
        pincode=of.pincode,
        country=of.country,
        type=users_pb2.Address.Type.Value(of.type),
        is_default=of.is_default,
    )


def address_of(message: users_pb2.Address, address_id: str) -> Address:
    kind = message.type or users_pb2.Address.HOME
    return Address(
        address_id=address_id,
        line1=message.line1,
        line2=message.line2,
        city=message.city,
        state=message.state,
        pincode=message.pincode,
        country=message.country,
        type=users_pb2.Address.Type.Name(kind),
        is_default=message.is_default,
    )


def session(of: Session, current_id: str) -> users_pb2.Session:
    return users_pb2.Session(
        session_id=of.session_id,
        create_time=timestamp(of.created_at),
        last_refresh_time=timestamp(of.refreshed_at),
        user_agent=of.user_agent,
        is_current=of.session_id == current_id,
    )


def created_users(users: Sequence[User]) -> bytes:
    return users_service_pb2.BatchCreateUsersResponse(users=map(user, users)).SerializeToString()


def created_address(of: Address) -> bytes:
    return users_service_pb2.CreateAddressResponse(address=address(of)).SerializeToString()


def registered(users: Sequence[User]) -> bytes:
    return users_service_pb2.RegisterResponse(user_id=users[0].user_id).SerializeToString()


def timestamp(at: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(at)
    return message
