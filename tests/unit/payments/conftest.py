import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from services import payments
from services.kit.clock import system_clock
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.rpc import calls
from services.kit.secrets import Secrets
from services.payments.clearing import Clearing
from services.payments.gateways.sandbox import SandboxGateway, connect
from services.payments.service import PaymentsServicer
from services.payments.store import PaymentStore
from tests.sandbox import Door, SandboxClient, running_sandbox
from tests.unit.payments.till import CALL, Counter, Till
from tools.secrets import make_missing


@pytest.fixture
async def database(module_database_url: str) -> AsyncIterator[Database]:
    """Payments' database, empty."""
    folder = payments.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("payments", folder)])
    database = Database(module_database_url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("TRUNCATE payments, outbox")
    yield database
    await database.close()


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    folder = tmp_path_factory.mktemp("gateway")
    make_missing(folder)
    door = Door()
    with running_sandbox(folder, folder, door.url) as (server, client):
        yield Counter(client, door, Secrets(folder), server.url, folder)
    door.close()


@pytest.fixture
async def gateway(counter: Counter) -> AsyncIterator[SandboxGateway]:
    """The adapter of the gateway whose process it is."""
    gateway = connect(counter.url, counter.secrets)
    yield gateway
    await gateway.close()


@pytest.fixture
def sandbox(counter: Counter) -> SandboxClient:
    return counter.client


@pytest.fixture
def deaf(counter: Counter) -> Iterator[None]:
    """No webhook comes while the test runs."""
    with counter.client.switched(lose_webhooks=True):
        yield


@pytest.fixture
def till(database: Database, gateway: SandboxGateway) -> Till:
    calls.enter(CALL)
    payments = PaymentStore(database, system_clock)
    clearing = Clearing(payments, {gateway.name: gateway})
    return Till(PaymentsServicer(payments, [gateway], clearing), clearing, database)


@pytest.fixture
async def listening(counter: Counter, till: Till) -> AsyncIterator[None]:
    """Webhooks get to the servicer."""
    loop = asyncio.get_running_loop()

    def hear(headers: dict[str, str], body: bytes) -> int:
        asyncio.run_coroutine_threadsafe(till.hear(headers, body), loop).result(10)
        return 200

    counter.door.hear = hear
    yield
    counter.door.hear = lambda headers, body: 200


@pytest.fixture
def order_id() -> str:
    return str(uuid4())
