"""The gRPC servicer of users: accounts and addresses here, logins in login.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import Message

from bazaar.users.v1 import users_service_pb2 as pb
from bazaar.users.v1.users_service_pb2_grpc import UsersServiceServicer
from services.kit.clock import Clock
from services.kit.errors import NotFound
from services.kit.idempotency import Once, RequestKey
from services.kit.ids import uuid7
from services.kit.rpc import calls
from services.users import wire
from services.users.access import SessionNotFound, forgettable_at, readable_user_agent
from services.users.addresses import AddressStore
from services.users.login import Logins
from services.users.model import (
    AddressNotFound,
    EmailTaken,
    User,
    UserNotFound,
    check_imported_hash,
    first_repeated,
    may_read,
    normal_email,
    updated,
)
from services.users.passwords import Passwords
from services.users.store import NewUser, UserStore
from services.users.tokens import SigningKeys

CUSTOMER = frozenset({"customer"})


class UsersServicer(UsersServiceServicer):
    """Registers users, logs them in, keeps their addresses."""

    def __init__(
        self, users: UserStore, addresses: AddressStore, logins: Logins, passwords: Passwords, keys: SigningKeys, clock: Clock
    ) -> None:
        self._users = users
        self._addresses = addresses
        self._logins = logins
        self._passwords = passwords
        self._keys = keys
        self._clock = clock

    async def Register(self, request, context):
        user = self._customer(request.email, request.first_name, request.last_name)
        key = self._secretive_key(request)
        if key:
            # Strangers have no name of their own: two of them may well choose the same request id.
            key = replace(key, principal=f"anonymous:{self._mac(user.email.encode()).hex()}")
        new = NewUser(user, await self._passwords.hash(request.password))
        return pb.RegisterResponse.FromString(await self._users.create([new], once=Once(key, wire.registered)))

    async def Login(self, request, context):
        metadata = dict(context.invocation_metadata() or ())
        agent, address = readable_user_agent(str(metadata.get("user-agent", ""))), str(metadata.get(calls.ADDRESS, ""))
        tokens = await self._logins.open(normal_email(request.email), request.password, agent, address)
        return pb.LoginResponse(**tokens._asdict())

    async def RefreshSession(self, request, context):
        tokens = await self._logins.refresh(request.refresh_token)
        return pb.RefreshSessionResponse(**tokens._asdict())

    async def Logout(self, request, context):
        principal = calls.current().principal
        await self._logins.close(principal.id, principal.session_id)
        return pb.LogoutResponse()

    async def ListSessions(self, request, context):
        user_id = _readable(request.user_id, UserNotFound(request.user_id))
        sessions = await self._logins.open_sessions(user_id)
        current_id = calls.current().principal.session_id
        return pb.ListSessionsResponse(sessions=[wire.session(session, current_id) for session in sessions])

    async def RevokeSession(self, request, context):
        user_id = _own(request.user_id, SessionNotFound(request.session_id))
        await self._logins.revoke(user_id, request.session_id.lower())
        return pb.RevokeSessionResponse()

    async def ListRevocations(self, request, context):
        revocation = pb.ListRevocationsResponse.Revocation
        return pb.ListRevocationsResponse(
            revocations=[
                revocation(session_id=session_id, expire_time=wire.timestamp(forgettable_at(revoked_at)))
                for session_id, revoked_at in await self._logins.revocations()
            ]
        )

    async def GetUser(self, request, context):
        user_id = _readable(request.user_id, UserNotFound(request.user_id))
        return pb.GetUserResponse(user=wire.user(await self._users.get(user_id)))

    async def UpdateUser(self, request, context):
        wanted = request.user
        user_id = _own(wanted.user_id, UserNotFound(wanted.user_id))
        values = {"first_name": wanted.first_name, "last_name": wanted.last_name}
        mask = list(request.update_mask.paths)
        user = await self._users.update(user_id, lambda user: updated(user, values, mask, wanted.etag))
        return pb.UpdateUserResponse(user=wire.user(user))

    async def BatchCreateUsers(self, request, context):
        users = [self._customer(new.email, new.first_name, new.last_name) for new in request.users]
        repeated = first_repeated([user.email for user in users])
        if repeated is not None:
            raise EmailTaken(index=str(repeated))
        hashes = await self._hashes(request.users)
        new = [NewUser(user, password_hash) for user, password_hash in zip(users, hashes, strict=True)]
        once = Once(self._secretive_key(request), wire.created_users)
        return pb.BatchCreateUsersResponse.FromString(await self._users.create(new, once=once))

    async def CreateAddress(self, request, context):
        user_id = _own(request.user_id, UserNotFound(request.user_id))
        address = wire.address_of(request.address, uuid7())
        once = Once(calls.request_key(request), wire.created_address)
        return pb.CreateAddressResponse.FromString(await self._addresses.create(user_id, address, self._clock(), once=once))

    async def GetAddress(self, request, context):
        user_id = _readable(request.user_id, AddressNotFound(request.address_id))
        return pb.GetAddressResponse(address=wire.address(await self._addresses.get(user_id, request.address_id.lower())))

    async def ListAddresses(self, request, context):
        user_id = _readable(request.user_id, UserNotFound(request.user_id))
        return pb.ListAddressesResponse(addresses=map(wire.address, await self._addresses.list(user_id)))

    async def UpdateAddress(self, request, context):
        address_id = request.address.address_id.lower()
        user_id = _own(request.user_id, AddressNotFound(address_id))
        if not address_id:
            raise AddressNotFound(address_id)
        address = await self._addresses.replace(user_id, wire.address_of(request.address, address_id))
        return pb.UpdateAddressResponse(address=wire.address(address))

    async def DeleteAddress(self, request, context):
        user_id = _own(request.user_id, AddressNotFound(request.address_id))
        await self._addresses.delete(user_id, request.address_id.lower())
        return pb.DeleteAddressResponse()

    async def GetKeys(self, request, context):
        return pb.GetKeysResponse(keys=[pb.GetKeysResponse.Key(**key) for key in self._keys.public])

    def _customer(self, email: str, first_name: str, last_name: str) -> User:
        return User(uuid7(), normal_email(email), first_name, last_name, CUSTOMER, self._clock())

    async def _hashes(self, users: Sequence[pb.BatchCreateUsersRequest.NewUser]) -> list[str]:
        for index, new in enumerate(users):
            if new.HasField("password_hash"):
                check_imported_hash(new.password_hash, f"users[{index}].password_hash")
        made = iter(await self._passwords.hash_all([new.password for new in users if new.HasField("password")]))
        return [next(made) if new.HasField("password") else new.password_hash for new in users]

    def _secretive_key(self, request: Message) -> RequestKey | None:
        """The request's key with a keyed fingerprint.

        A plain SHA-256 of a body that holds a password would let whoever reads the table try passwords a billion times faster than
        Argon2id does; without the signing keys an HMAC tells nothing. When these are rotated, a request repeated across it is refused.
        """
        key = calls.request_key(request)
        return replace(key, fingerprint=self._mac(key.fingerprint)) if key else None

    def _mac(self, content: bytes) -> bytes:
        return self._keys.macs("request fingerprint", content)[0]


def _own(user_id: str, otherwise: NotFound) -> str:
    """The id, if it is the caller's."""
    if user_id.lower() != calls.current().principal.id:
        raise otherwise
    return user_id.lower()


def _readable(user_id: str, otherwise: NotFound) -> str:
    """The id, if it is the caller's or the caller is staff."""
    principal = calls.current().principal
    if not may_read(user_id.lower(), caller_id=principal.id, roles=principal.roles):
        raise otherwise
    return user_id.lower()
