"""Starts the orchestrator: `python -m services.orchestrator`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from services.orchestrator.clients import connected
from services.orchestrator.handlers import OrchestratorHandlers
from services.orchestrator.rescuer import Rescuer
from services.orchestrator.sagas.sale import SALE
from services.orchestrator.settings import Settings
from services.orchestrator.store import TransactionLog, Tx
from venus.orchestrator.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc
from venus.type.v1 import access_pb2
from venus_kit.access import AccessRules, path_of
from venus_kit.identity import PublicKeys, ServiceIdentity
from venus_kit.ids import new_id
from venus_kit.postgres import Database
from venus_kit.process import run
from venus_kit.saga.runner import Limits, Runner
from venus_kit.server import Door, Running, Servicer, serving
from venus_kit.sql import Queries
from venus_kit.validation import Validation

NAME: Final = "orchestrator"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """The orchestrator, up until the block ends; then what is in flight is finished or put aside."""
    database = await Database[Tx].connect(
        settings.database_url,
        partial(Tx, Queries.load("services.orchestrator")),
        name=NAME,
        isolation=settings.isolation,
    )
    identity = ServiceIdentity(NAME, settings.service_key_file.read_bytes())
    log = TransactionLog(database, new_id())
    try:
        async with connected(settings, identity) as call:
            limits = Limits(cohorts=settings.cohorts, waiting=settings.waiting, ttl_s=settings.saga_ttl_s)
            runner = Runner(log, call, [SALE], limits)
            await log.renew_lease(settings.lease_s)
            rescuer = Rescuer(log, runner, lease_s=settings.lease_s, every_s=settings.rescue_every_s)
            rescue = asyncio.create_task(rescuer.run(), name="rescuer")
            try:
                async with _served(settings, database, runner, rescue) as up:
                    yield up
            finally:
                rescue.cancel()
                await asyncio.gather(rescue, return_exceptions=True)
                await runner.close()
                await log.drop_lease()
    finally:
        await database.close()


@asynccontextmanager
async def _served(
    settings: Settings, database: Database[Tx], runner: Runner, rescue: asyncio.Task[None]
) -> AsyncIterator[Running]:
    service = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"]
    rules = AccessRules(access_pb2.access, [service])
    door = Door(rules, PublicKeys.read(settings.service_jwks_file), Validation())
    rule = rules[path_of(service.methods_by_name["BatchCreateSales"])]
    handlers = OrchestratorHandlers(runner, database, partial(door.admit_item, rule))
    servicer = Servicer(orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server, handlers, service)

    async def ready() -> bool:
        return not rescue.done() and await database.ready()

    async with serving(settings, door=door, servicers=[servicer], ready=ready) as up:
        yield up


if __name__ == "__main__":
    run(NAME, Settings, running)
