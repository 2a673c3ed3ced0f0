"""Users: who shops and works here, how they prove it, and where they have things sent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bazaar.users.v1.users_service_pb2_grpc import add_UsersServiceServicer_to_server
from services.kit.ids import uuid7
from services.kit.leader import Lease
from services.kit.limits.attempts import Attempts
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer
from services.users.addresses import AddressStore
from services.users.attempts import LoginAttempts
from services.users.events import USERS
from services.users.login import Logins
from services.users.model import User
from services.users.passwords import Passwords
from services.users.service import UsersServicer
from services.users.sessions import SessionStore
from services.users.store import NewUser, UserStore
from services.users.tokens import SigningKeys

ADMIN_EMAIL = "admin@bazaar.local"


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of users."""
    users, sessions, addresses = UserStore(kit.database), SessionStore(kit.database), AddressStore(kit.database)
    passwords, keys = Passwords(), SigningKeys(kit.secrets)
    # Without Redis the shop is still one that can be logged in to.
    attempts = LoginAttempts(Attempts(kit.redis), keys) if kit.settings.redis_url else None
    logins = Logins(users, sessions, passwords, keys, kit.clock, attempts)

    async def create_first_admin() -> None:
        if not await users.is_registered(ADMIN_EMAIL):
            admin = User(uuid7(), ADMIN_EMAIL, "", "", frozenset({"admin"}), kit.clock())
            await users.create_if_missing(NewUser(admin, await passwords.hash(kit.secrets.text("admin_password"))))

    async def forget_sessions(lease: Lease) -> None:
        await sessions.forget_old(kit.clock())

    return Parts(
        servicers=[(add_UsersServiceServicer_to_server, UsersServicer(users, addresses, logins, passwords, keys, kit.clock))],
        topics=[USERS],
        timers=[Timer("forget old sessions", timedelta(hours=1), forget_sessions)],
        start=create_first_admin,
    )


SERVICE = Service("users", build, Path(__file__).parent / "migrations")
