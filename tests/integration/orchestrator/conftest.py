"""The whole suite on fresh databases."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.suite import STORES, Suite, suite_running
from venus_kit.testing import DatabaseUrls, ServiceKeys


@pytest.fixture
async def suite(database_url: Callable[[str], DatabaseUrls], identities: ServiceKeys) -> AsyncIterator[Suite]:
    """Everything up, 1,000 kg in the pools of every store."""
    async with suite_running(database_url, identities) as running:
        for store_id in STORES:
            await running.open_stock(store_id, 1_000_000)
        yield running
