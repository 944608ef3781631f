"""The real inventory on a fresh database, and callers who knock at its door."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from services.inventory.__main__ import running
from services.inventory.settings import Settings
from services.inventory.store import Tx
from tests.integration.inventory.stock_room import OpenDatabase, StockRoom
from venus.inventory.v1 import inventory_service_pb2
from venus.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from venus_kit.client import connect
from venus_kit.identity import AssertionSigner, ServiceIdentity
from venus_kit.postgres import Database
from venus_kit.settings import Isolation
from venus_kit.sql import Queries
from venus_kit.testing import DatabaseUrls, ServiceKeys

if TYPE_CHECKING:
    from venus.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

OpenRoom = Callable[..., Awaitable[StockRoom]]


@pytest.fixture
def urls(database_url: Callable[[str], DatabaseUrls]) -> DatabaseUrls:
    return database_url("inventory")


@pytest.fixture
async def open_room(urls: DatabaseUrls, identities: ServiceKeys) -> AsyncIterator[OpenRoom]:
    """`await open_room(isolation=...)`: a stock room over the test's database; several may be open at once."""
    service = inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"]

    def identity(name: str) -> ServiceIdentity:
        return ServiceIdentity(name, identities.key_files[name].read_bytes())

    async with AsyncExitStack() as stack:

        async def opened(**told: Any) -> StockRoom:
            settings = Settings(
                database_url=urls.service,
                service_key_file=identities.key_files["inventory"],
                service_jwks_file=identities.jwks_file,
                **told,
            )
            up = await stack.enter_async_context(running(settings))

            async def calling(name: str) -> "InventoryServiceAsyncStub":
                channel = connect(f"127.0.0.1:{up.grpc_port}", identity(name), [service])
                return cast("InventoryServiceAsyncStub", InventoryServiceStub(await stack.enter_async_context(channel)))

            people = AssertionSigner(identity("gateway"))
            room = StockRoom(urls, await calling("orchestrator"), await calling("sales"), people)
            await room.tell(1, "Asia/Kolkata")
            await room.tell(2, "Europe/Berlin")
            return room

        yield opened


@pytest.fixture
async def room(open_room: OpenRoom) -> StockRoom:
    """A stock room at work."""
    return await open_room()


@pytest.fixture
def open_database(urls: DatabaseUrls) -> OpenDatabase:
    """`async with open_database(isolation="repeatable_read") as database`: inventory's own, without its door."""

    @asynccontextmanager
    async def opened(isolation: Isolation = "read_committed", max_size: int = 8) -> AsyncIterator[Database[Tx]]:
        bind = partial(Tx, Queries.load("services.inventory"))
        database = await Database[Tx].connect(
            urls.service, bind, name="inventory", isolation=isolation, max_size=max_size
        )
        try:
            yield database
        finally:
            await database.close()

    return opened
