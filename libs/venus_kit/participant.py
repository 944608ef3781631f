"""A participant: one gRPC service over one database of its own, with the house's door before it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from google.protobuf.descriptor import ServiceDescriptor

from venus_kit.access import AccessRules
from venus_kit.batch import BatchDoor
from venus_kit.identity import PublicKeys
from venus_kit.postgres import Connection, Database
from venus_kit.server import Door, Running, Servicer, serving
from venus_kit.settings import ServiceSettings
from venus_kit.sql import Queries
from venus_kit.validation import Validation

Tx = TypeVar("Tx")


class Handlers(Protocol):
    """The door of one service."""

    async def close(self) -> None:
        """Wait until every call that came in is answered."""
        ...


@asynccontextmanager
async def participant(
    settings: ServiceSettings,
    *,
    name: str,
    service: ServiceDescriptor,
    access: Any,
    register: Callable[[Any, Any], None],
    tx: Callable[[Queries, Connection], Tx],
    handlers: Callable[[Database[Tx], BatchDoor], Handlers],
) -> AsyncIterator[Running]:
    """Serve `service` until the block ends; then what is in flight is finished and the database let go.

    `access` is the proto option that says who may call, `register` the generated function, `tx` the service's class
    over the queries of `services.<name>`, `handlers` its door. Errors: Weather when there is no database.
    """
    validation = Validation()
    door = Door(AccessRules(access, [service]), PublicKeys.read(settings.service_jwks_file), validation)
    database = await Database[Tx].connect(
        settings.database_url, partial(tx, Queries.load(f"services.{name}")), name=name, isolation=settings.isolation
    )
    behind = handlers(database, BatchDoor(validation))
    try:
        servicer = Servicer(register, behind, service)
        async with serving(settings, door=door, servicers=[servicer], ready=database.ready) as up:
            yield up
    finally:
        await behind.close()
        await database.close()
