"""The real ledger on a fresh database, and callers who knock at its door."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from services.ledger.__main__ import running
from services.ledger.settings import Settings
from services.ledger.store import Tx
from tests.integration.ledger.books import Isolation
from venus.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from venus_kit.access import Person
from venus_kit.client import connect
from venus_kit.identity import ASSERTION_KEY, AssertionSigner, ServiceIdentity
from venus_kit.postgres import Database
from venus_kit.sql import Queries
from venus_kit.testing import DatabaseUrls, ServiceKeys

if TYPE_CHECKING:
    from typing import TypeAlias

    LedgerStub: TypeAlias = ledger_service_pb2_grpc.LedgerServiceAsyncStub


OpenDatabase = Callable[..., AbstractAsyncContextManager[Database[Tx]]]


@dataclass(frozen=True)
class RunningLedger:
    """A ledger that is up: stubs for services that call it, credentials for people, its database."""

    urls: DatabaseUrls
    orchestrator: "LedgerStub"
    gateway: "LedgerStub"
    sales: "LedgerStub"
    signer: AssertionSigner

    def as_person(self, person: Person) -> tuple[tuple[str, str], ...]:
        """Metadata of a call that the gateway makes for a person."""
        return ((ASSERTION_KEY, self.signer.assertion(person)),)


@pytest.fixture
def urls(database_url: Callable[[str], DatabaseUrls]) -> DatabaseUrls:
    return database_url("ledger")


@pytest.fixture
async def ledger(urls: DatabaseUrls, identities: ServiceKeys) -> AsyncIterator[RunningLedger]:
    settings = Settings(
        database_url=urls.service,
        service_key_file=identities.key_files["ledger"],
        service_jwks_file=identities.jwks_file,
    )
    service = ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]
    names = ("orchestrator", "gateway", "sales")
    callers = {name: ServiceIdentity(name, identities.key_files[name].read_bytes()) for name in names}
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(running(settings))
        stubs: dict[str, LedgerStub] = {}
        for name, identity in callers.items():
            channel = await stack.enter_async_context(connect(f"127.0.0.1:{up.grpc_port}", identity, [service]))
            stubs[name] = cast("LedgerStub", ledger_service_pb2_grpc.LedgerServiceStub(channel))
        yield RunningLedger(urls=urls, signer=AssertionSigner(callers["gateway"]), **stubs)


@pytest.fixture
def open_database(urls: DatabaseUrls) -> OpenDatabase:
    """`async with open_database(isolation="repeatable_read") as database`: the ledger's own, without its door."""

    @asynccontextmanager
    async def opened(isolation: Isolation = "read_committed", max_size: int = 8) -> AsyncIterator[Database[Tx]]:
        bind = partial(Tx, Queries.load("services.ledger"))
        database = await Database[Tx].connect(urls.service, bind, name="ledger", isolation=isolation, max_size=max_size)
        try:
            yield database
        finally:
            await database.close()

    return opened


@pytest.fixture
async def database(open_database: OpenDatabase) -> AsyncIterator[Database[Tx]]:
    async with open_database() as opened:
        yield opened
