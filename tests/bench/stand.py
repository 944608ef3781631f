"""What a race is run on: the suite as `./venus up` starts it, both peers beside it, all on one PostgreSQL."""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg

from deploy.local.footing import LocalServerError
from deploy.local.home import Home, held
from deploy.local.issuer import mint
from deploy.local.keys import Keys
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.postgres import find_binaries
from deploy.local.programs import SERVICES
from deploy.local.stack import Stack, running_stack
from deploy.local.startup import Progress
from deploy.local.supervisor import Program
from deploy.local.web import is_ready
from tests.bench import stores
from tests.bench.figures import MONOLITH, PGBENCH, VENUS
from tests.bench.goods import store_ids
from tests.bench.pgbench.script import script
from tests.bench.tills import Seat
from venus_kit.sql import Queries

_UUID_SINCE: Final = 180_000
"""The version of PostgreSQL that makes ids sorted by time, as tills do."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything up; `addresses` are host and port of what tills can call, `urls` the owners' databases."""

    stack: Stack
    stores: range
    addresses: Mapping[str, tuple[str, int]]
    urls: Mapping[str, str]
    pgbench: Path
    script: Path

    @property
    def pids(self) -> Mapping[str, int]:
        """Whose CPU is of interest."""
        supervisor, postgres = self.stack.supervisor, self.stack.servers.postgres
        postmaster = postgres.log_file.with_name("data") / "postmaster.pid"
        programs = (*SERVICES, MONOLITH, self.stack.collector.program.name)
        return {
            **{name: supervisor.pid(name) for name in programs},
            "postgres": int(postmaster.read_text(encoding="ascii").splitlines()[0]),
        }

    def seats(self, tills: int) -> list[Seat]:
        """So many tills spread over the stores, a cashier at each."""
        keys = Keys(self.stack.home.keys)
        return [
            Seat(store_id, mint(keys, "cashier", [store_id], subject=f"cashier-{till}"))
            for till in range(tills)
            for store_id in [self.stores[till % len(self.stores)]]
        ]

    async def checkpoint(self) -> None:
        """Let nobody pay for what was written before."""
        session = await asyncpg.connect(self.stack.servers.postgres.superuser_url())
        try:
            await session.execute("CHECKPOINT")
        finally:
            await session.close()


@asynccontextmanager
async def standing(folder: Path, store_count: int, trace_ratio: float, progress: Progress) -> AsyncIterator[Stand]:
    """Everything up in `folder` until the block ends. Errors: StackFailed, LocalServerError, PostgresError."""
    home, chosen = Home(folder / "home"), store_ids(store_count)
    program = find_binaries() / "pgbench"
    if not program.is_file():
        raise LocalServerError(f"no pgbench in {program.parent}")
    with _surroundings(trace_ratio), held(home), ExitStack() as ports:
        async with running_stack(home, progress) as stack:
            try:
                with progress.step("stores"):
                    await stores.add_to_suite(stack, chosen)
                    urls = {name: await _database(stack, name, chosen) for name in (MONOLITH, PGBENCH)}
                (port,) = free_ports(1, ports)
                await stack.supervisor.start([_monolith(stack, urls[MONOLITH], port)])
                host, _, gateway_port = stack.addresses.http.rpartition(":")
                addresses = {VENUS: (host, int(gateway_port)), MONOLITH: (LOOPBACK, port)}
                yield Stand(stack, chosen, addresses, urls, program, await _write_script(folder, urls[PGBENCH]))
            finally:
                place = stack.servers.postgres.log_file.parent
        shutil.rmtree(place, ignore_errors=True)  # it may have had to stand elsewhere


@contextmanager
def _surroundings(trace_ratio: float) -> Iterator[None]:
    """What the stack's programs inherit."""
    before = dict(os.environ)
    os.environ["VENUS_TRACE_RATIO"] = str(trace_ratio)
    for name in ("SENTRY_DSN", "VENUS_FAILPOINTS"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _database(stack: Stack, name: str, chosen: range) -> str:
    """A database for a peer; the URL of its owner, who is all that a monolith knows of roles."""
    passwords = (secrets.token_urlsafe(16), secrets.token_urlsafe(16))
    urls = await stack.servers.postgres.create_service(name, *passwords)
    await stores.add_to_peer(urls.migrator, chosen)
    return urls.migrator


def _monolith(stack: Stack, url: str, port: int) -> Program:
    return Program(
        name=MONOLITH,
        command=[sys.executable, "-m", "tests.bench.monolith"],
        environment={
            **os.environ,
            "MONOLITH_DATABASE_URL": url,
            "MONOLITH_PORT": str(port),
            "VENUS_ISSUERS_FILE": str(Keys(stack.home.keys).issuers),
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.collector.otlp_url,
            "no_proxy": f"{LOOPBACK},localhost",
            "NO_PROXY": f"{LOOPBACK},localhost",
        },
        ready=partial(is_ready, f"http://{LOOPBACK}:{port}/readyz"),
        needs=frozenset({stack.collector.program.name}),
    )


async def _write_script(folder: Path, url: str) -> Path:
    session = await asyncpg.connect(url)
    try:
        version = int(await session.fetchval("SHOW server_version_num"))
    finally:
        await session.close()
    place = folder / "pgbench"
    await asyncio.to_thread(place.mkdir)
    text = script(Queries.load("tests.bench.monolith"), "uuidv7()" if version >= _UUID_SINCE else "gen_random_uuid()")
    file = place / "sale.sql"
    file.write_text(text, encoding="utf-8")
    return file
