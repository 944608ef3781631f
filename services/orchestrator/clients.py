"""The services that the orchestrator calls, and how long a step may take."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, cast

from services.orchestrator.settings import Settings
from venus.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from venus.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from venus.sales.v1 import sales_service_pb2, sales_service_pb2_grpc
from venus_kit.client import connect
from venus_kit.identity import ServiceIdentity

STEP_BUDGET_S: Final = 3.0
"""What one step may take, whatever its callers wait: a caller's deadline bounds only its own wait."""


@dataclass(frozen=True, slots=True)
class Clients:
    """One stub per participant."""

    inventory: "inventory_service_pb2_grpc.InventoryServiceAsyncStub"
    sales: "sales_service_pb2_grpc.SalesServiceAsyncStub"
    ledger: "ledger_service_pb2_grpc.LedgerServiceAsyncStub"


@contextlib.asynccontextmanager
async def connected(settings: Settings, identity: ServiceIdentity) -> AsyncIterator[Clients]:
    """Channels to the participants for the length of the block; they need not be up."""
    inventory = connect(settings.inventory_target, identity, _services(inventory_service_pb2))
    sales = connect(settings.sales_target, identity, _services(sales_service_pb2))
    ledger = connect(settings.ledger_target, identity, _services(ledger_service_pb2))
    try:
        yield Clients(
            inventory_service_pb2_grpc.InventoryServiceStub(inventory),
            sales_service_pb2_grpc.SalesServiceStub(sales),
            ledger_service_pb2_grpc.LedgerServiceStub(ledger),
        )
    finally:
        for channel in (inventory, sales, ledger):
            await channel.close(None)


def _services(module: Any) -> list[Any]:
    return list(cast("dict[str, Any]", module.DESCRIPTOR.services_by_name).values())
