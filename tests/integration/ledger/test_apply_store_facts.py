import asyncio

import asyncpg
import pytest

from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import refuses
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus.type.v1 import store_pb2

ACTIVE = store_pb2.STORE_STATUS_ACTIVE
MAINTENANCE = store_pb2.STORE_STATUS_MAINTENANCE


def _facts(version: int, status: store_pb2.StoreStatus.ValueType = ACTIVE) -> pb.ApplyStoreFactsRequest:
    store = store_pb2.StoreFacts(store_id=1, status=status, time_zone="Asia/Kolkata", version=version)
    return pb.ApplyStoreFactsRequest(store=store)


async def _known(ledger: RunningLedger) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(ledger.urls.service)
    rows = await connection.fetch("SELECT store_id, status, time_zone, version FROM store")
    await connection.close()
    return [tuple(row) for row in rows]


async def test_newer_facts_are_taken_over(ledger: RunningLedger) -> None:
    assert (await ledger.orchestrator.ApplyStoreFacts(_facts(1))).version == 1
    assert (await ledger.orchestrator.ApplyStoreFacts(_facts(3, MAINTENANCE))).version == 3

    assert await _known(ledger) == [(1, "MAINTENANCE", "Asia/Kolkata", 3)]


@pytest.mark.parametrize("late", [1, 2])
async def test_facts_that_come_late_or_again_change_nothing(ledger: RunningLedger, late: int) -> None:
    await ledger.orchestrator.ApplyStoreFacts(_facts(2))

    assert (await ledger.orchestrator.ApplyStoreFacts(_facts(late, MAINTENANCE))).version == 2
    assert await _known(ledger) == [(1, "ACTIVE", "Asia/Kolkata", 2)]


async def test_facts_that_race_end_with_the_newest(ledger: RunningLedger) -> None:
    versions = [3, 9, 1, 7, 5, 10, 2, 8, 4, 6]
    told = await asyncio.gather(
        *(ledger.orchestrator.ApplyStoreFacts(_facts(v, MAINTENANCE if v == 10 else ACTIVE)) for v in versions)
    )

    assert all(reply.version >= version for reply, version in zip(told, versions, strict=True))
    assert await _known(ledger) == [(1, "MAINTENANCE", "Asia/Kolkata", 10)]


async def test_only_the_orchestrator_tells_of_stores(ledger: RunningLedger) -> None:
    async with refuses("PERMISSION_DENIED", "PERMISSION_MISSING"):
        await ledger.sales.ApplyStoreFacts(_facts(1))
