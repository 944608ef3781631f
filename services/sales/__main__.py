"""Starts sales: `python -m services.sales`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from services.sales.handlers import SalesHandlers
from services.sales.settings import Settings
from services.sales.store import Tx
from venus.sales.v1 import sales_service_pb2, sales_service_pb2_grpc
from venus.type.v1 import access_pb2
from venus_kit.access import AccessRules
from venus_kit.batch import BatchDoor
from venus_kit.identity import PublicKeys
from venus_kit.postgres import Database
from venus_kit.process import run
from venus_kit.server import Door, Running, Servicer, serving
from venus_kit.sql import Queries
from venus_kit.validation import Validation

NAME: Final = "sales"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """Sales, up until the block ends; then what is in flight is finished."""
    service = sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"]
    validation = Validation()
    door = Door(AccessRules(access_pb2.access, [service]), PublicKeys.read(settings.service_jwks_file), validation)
    database = await Database[Tx].connect(
        settings.database_url,
        partial(Tx, Queries.load("services.sales")),
        name=NAME,
        isolation=settings.isolation,
    )
    handlers = SalesHandlers(database, BatchDoor(validation))
    servicer = Servicer(sales_service_pb2_grpc.add_SalesServiceServicer_to_server, handlers, service)
    try:
        async with serving(settings, door=door, servicers=[servicer], ready=database.ready) as up:
            yield up
    finally:
        await handlers.close()
        await database.close()


if __name__ == "__main__":
    run(NAME, Settings, running)
