"""Who went away is not waited for, or the log would be asked for their sake for ever."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.orchestrator.handlers import OrchestratorHandlers
from services.orchestrator.sagas.sale import SALE
from tests.suite import CASHIER, sale_request
from tests.unit.kit.sagas import MemoryLog
from venus.orchestrator.v1 import orchestrator_service_pb2 as pb
from venus_kit import telemetry
from venus_kit.access import Caller, Person, set_caller
from venus_kit.errors import NotSignedIn
from venus_kit.saga.runner import Runner


async def never(request: object, **told: float) -> None:
    """A sales service that does not answer."""
    await asyncio.Event().wait()


@pytest.fixture
def runner() -> Runner:
    return Runner(MemoryLog(), SimpleNamespace(sales=SimpleNamespace(BatchQuoteSales=never)), [SALE])


def served(runner: Runner) -> OrchestratorHandlers:
    def admit(item: pb.CreateSaleItem) -> Person:
        if not item.context.assertion:
            raise NotSignedIn
        return CASHIER

    return OrchestratorHandlers(runner, cast("Any", None), admit)


async def test_a_till_that_went_away_is_not_waited_for(runner: Runner) -> None:
    set_caller(Caller("gateway", CASHIER))
    with telemetry.server_span("CreateSale", ""):
        till = asyncio.create_task(served(runner).CreateSale(sale_request(), None))
    await asyncio.sleep(0.01)
    assert len(runner.answers.asked()) == 1
    till.cancel()
    await asyncio.wait([till])
    assert not runner.answers.asked()


async def test_a_batch_that_went_away_between_two_groups_is_not_waited_for(runner: Runner) -> None:
    items = [pb.CreateSaleItem(request=sale_request()), pb.CreateSaleItem(request=sale_request())]
    items[1].context.assertion = "good"
    stream = served(runner).BatchCreateSales(pb.BatchCreateSalesRequest(items=items), None)
    group = await anext(stream)
    assert [outcome.index for outcome in group.outcomes] == [0]
    assert len(runner.answers.asked()) == 1
    await cast("Any", stream).aclose()
    await asyncio.sleep(0)
    assert not runner.answers.asked()
