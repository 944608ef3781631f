"""Starts the gateway: `python -m services.gateway`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from services.gateway.app import Gateway
from services.gateway.auth import Doorkeeper
from services.gateway.endpoints import Endpoints, Neighbour
from services.gateway.issuers import Issuers
from services.gateway.listener import listening
from services.gateway.settings import Settings
from venus.inventory.v1 import inventory_service_pb2
from venus.ledger.v1 import ledger_service_pb2
from venus.orchestrator.v1 import orchestrator_service_pb2
from venus.sales.v1 import sales_service_pb2
from venus_kit.client import connect
from venus_kit.clock import SystemClock
from venus_kit.http import serving_http
from venus_kit.identity import AssertionSigner, ServiceIdentity
from venus_kit.process import run
from venus_kit.server import Readiness

NAME: Final = "gateway"


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that is up."""

    http_port: int
    metrics_port: int
    url: str
    """Where it can be reached, without a slash at the end."""


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """The gateway, up until the block ends; then it says so, and finishes what is in flight."""
    identity = ServiceIdentity(NAME, settings.service_key_file.read_bytes())
    limits = settings.limits()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        neighbours = await stack.enter_async_context(_neighbours(settings, identity))
        endpoints = Endpoints(neighbours, max_depth=limits.json_depth, gathering=settings.gathering())
        stack.push_async_callback(endpoints.close)
        doorkeeper = Doorkeeper(Issuers(settings.issuers_file, clock.monotonic), clock)
        gateway = Gateway(endpoints.table, doorkeeper, AssertionSigner(identity), limits, slow_s=settings.slow_s)
        readiness = await stack.enter_async_context(_readiness(gateway))
        metrics_port = await stack.enter_async_context(serving_http(readiness.app(), settings.metrics_bind))
        async with listening(gateway, settings.http_bind, grace_s=settings.grace_s) as http_port:
            host = settings.http_bind.rpartition(":")[0]
            yield Running(http_port, metrics_port, f"http://{host}:{http_port}")
            gateway.leave()
            await readiness.leave()
            await asyncio.sleep(settings.drain_s)


@asynccontextmanager
async def _neighbours(settings: Settings, identity: ServiceIdentity) -> AsyncIterator[list[Neighbour]]:
    """Every service that people may call, each over a channel of its own."""
    found: list[Neighbour] = []
    try:
        for target, module in (
            (settings.inventory_target, inventory_service_pb2),
            (settings.sales_target, sales_service_pb2),
            (settings.ledger_target, ledger_service_pb2),
            (settings.orchestrator_target, orchestrator_service_pb2),
        ):
            services = list(cast("dict[str, Any]", module.DESCRIPTOR.services_by_name).values())
            channel = connect(target, identity, services)
            found.extend(Neighbour(service, channel) for service in services)
        yield found
    finally:
        for neighbour in found:
            await neighbour.channel.close(None)


@asynccontextmanager
async def _readiness(gateway: Gateway) -> AsyncIterator[Readiness]:
    async def ready() -> bool:
        return gateway.is_ready

    readiness = Readiness(ready, ())
    watch = asyncio.create_task(readiness.watch(), name="readiness")
    try:
        yield readiness
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


if __name__ == "__main__":
    run(NAME, Settings, running, decides_sampling=True)
