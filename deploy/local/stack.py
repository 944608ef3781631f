"""The whole suite on one machine: PostgreSQL, Valkey, a trace collector, five services, demo data."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from deploy.local.collector import Collector, choose_collector
from deploy.local.demo import SALE_STORE_ID, hand_out_facts, open_stock, restock, seed_catalogue
from deploy.local.home import Home, describe
from deploy.local.issuer import mint
from deploy.local.keys import Keys, make_keys, make_passwords
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.programs import SERVICES, WITH_DATABASE, Addresses, choose_addresses, service_programs
from deploy.local.servers import Servers, servers_of, start_servers
from deploy.local.startup import Progress, side_by_side
from deploy.local.supervisor import Supervisor
from venus_kit.migrate import migrate
from venus_kit.roles import ServiceUrls


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that is up."""

    home: Home
    servers: Servers
    databases: Mapping[str, ServiceUrls]
    addresses: Addresses
    collector: Collector
    supervisor: Supervisor
    tokens: Mapping[str, str]

    @property
    def gateway_url(self) -> str:
        """Where tills call."""
        return f"http://{self.addresses.http}"

    def description(self) -> dict[str, Any]:
        """What stack.json says; it holds passwords and tokens."""
        postgres = self.servers.postgres
        grpc, metrics = self.addresses.grpc, self.addresses.metrics
        return {
            "supervisor": {"pid": os.getpid()},
            "gateway": self.gateway_url,
            "postgres": {
                "host": LOOPBACK,
                "port": postgres.port,
                "superuser": postgres.superuser_url(),
                "databases": {
                    name: {"service": urls.service, "migrator": urls.migrator} for name, urls in self.databases.items()
                },
            },
            "valkey": self.servers.valkey.url,
            "services": {
                name: {
                    "pid": self.supervisor.pid(name),
                    "grpc": grpc.get(name, ""),
                    "metrics": f"http://{metrics[name]}/metrics",
                }
                for name in SERVICES
            },
            "tokens": dict(self.tokens),
            "otlp": {
                "kind": self.collector.kind,
                "endpoint": self.collector.otlp_url,
                "traces": self.collector.traces_url,
            },
        }


@asynccontextmanager
async def running_stack(home: Home, progress: Progress) -> AsyncIterator[Stack]:
    """Everything up and filled with demo data until the block ends, then drained in reverse.

    Errors: StackFailed and LocalServerError, with the last words of what did not come up.
    """
    keys = make_keys(home.keys, SERVICES)
    tokens = {"admin": mint(keys, "admin"), "cashier": mint(keys, "cashier", [SALE_STORE_ID])}
    servers = servers_of(home)
    supervisor = Supervisor(home.logs, progress.done)
    async with AsyncExitStack() as after, AsyncExitStack() as ending:
        ports = after.enter_context(ExitStack())
        collector, addresses = choose_collector(home, ports), choose_addresses(ports)
        ending.push_async_callback(_stop, supervisor, progress)
        await side_by_side(start_servers(servers, home, progress, after), supervisor.start([collector.program]))
        with progress.step("databases"):
            databases = await make_databases(servers.postgres, keys)
            facts = await seed_catalogue(databases["sales"].migrator)
        service_urls = {name: urls.service for name, urls in databases.items()}
        await supervisor.start(service_programs(addresses, keys, service_urls, servers.valkey.url, collector))
        stack = Stack(home, servers, databases, addresses, collector, supervisor, tokens)
        with progress.step("demo data"):
            await hand_out_facts(facts, keys, addresses.grpc)
            await open_stock(stack.gateway_url, tokens["admin"])
            await restock(stack.gateway_url, tokens["admin"])
        describe(home, stack.description())
        ending.callback(home.description.unlink, missing_ok=True)
        supervisor.changed = lambda: describe(home, stack.description())
        yield stack


async def _stop(supervisor: Supervisor, progress: Progress) -> None:
    with progress.step("drained"):
        await supervisor.stop()


async def make_databases(postgres: EmbeddedPostgres, keys: Keys) -> dict[str, ServiceUrls]:
    """One database with its two roles for each service that keeps anything, every migration landed."""
    passwords = make_passwords(keys, [f"{name}_{role}" for name in WITH_DATABASE for role in ("service", "migrator")])
    databases = {
        name: await postgres.create_service(name, passwords[f"{name}_service"], passwords[f"{name}_migrator"])
        for name in WITH_DATABASE
    }
    await side_by_side(*(_migrate(urls.migrator, f"services.{name}") for name, urls in databases.items()))
    return databases


async def _migrate(url: str, package: str) -> None:
    await migrate(url, package)
