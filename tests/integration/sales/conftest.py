from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.sales.__main__ import running
from services.sales.settings import Settings
from tests.integration.sales.shop import CATALOGUE, Shop
from venus.sales.v1 import sales_service_pb2
from venus.sales.v1.sales_service_pb2_grpc import SalesServiceStub
from venus_kit.client import connect
from venus_kit.identity import AssertionSigner, ServiceIdentity
from venus_kit.testing import DatabaseUrls, ServiceKeys, SharedPostgres

OpenShop = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def open_shop(
    postgres: SharedPostgres, database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys
) -> AsyncIterator[OpenShop]:
    """`await open_shop(at=moment, isolation=...)`: a shop that opens at a moment of the database's clock."""
    service = sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"]
    people = AssertionSigner(ServiceIdentity("gateway", identities.key_files["gateway"].read_bytes()))
    orchestrator = ServiceIdentity("orchestrator", identities.key_files["orchestrator"].read_bytes())
    async with AsyncExitStack() as stack:

        async def opened(at: datetime | None = None, **told: Any) -> Shop:
            urls = database_url("sales")
            connection = await asyncpg.connect(urls.migrator)
            await connection.execute(CATALOGUE)
            await connection.close()
            if at is not None:
                postgres.shift_time(urls, at - datetime.now(UTC))
            settings = Settings(
                database_url=urls.service,
                service_key_file=identities.key_files["sales"],
                service_jwks_file=identities.jwks_file,
                **told,
            )
            up = await stack.enter_async_context(running(settings))
            channel = connect(f"127.0.0.1:{up.grpc_port}", orchestrator, [service])
            await stack.enter_async_context(channel)
            stub: Any = SalesServiceStub(channel)
            return Shop(stub, people, urls)

        yield opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    """A shop that opens now."""
    return await open_shop()
