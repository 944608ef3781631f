"""The whole suite as a person starts it: ./venus up, in a home of its own."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.home import Home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.programs import SERVICES
from deploy.local.waterfall import fetch_trace, in_order, orphans
from deploy.local.web import ask

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Town:
    """One home; `said` is what the first `up --json` printed while it runs there."""

    home: Home
    environment: Mapping[str, str]
    supervisor: asyncio.subprocess.Process
    said: Mapping[str, Any]

    @property
    def description(self) -> dict[str, Any]:
        return json.loads(self.home.description.read_text())

    async def venus(self, *arguments: str) -> Ended:
        return await venus(self.environment, *arguments)


async def start(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clients.ops", *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def venus(environment: Mapping[str, str], *arguments: str) -> Ended:
    process = await start(environment, *arguments)
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


def environment_of(home: Path) -> dict[str, str]:
    return {**os.environ, "VENUS_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}


def processes_of(home: Path) -> list[str]:
    """Command lines of what still runs for a home: the services carry it in their environment."""
    mark = os.fsencode(f"VENUS_HOME={home}")
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended, or is not ours
            continue
    return found


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    home = Home(tmp_path / "home")
    environment = environment_of(home.folder)
    supervisor = await start(environment, "up", "--json")
    assert supervisor.stdout is not None
    assert supervisor.stderr is not None
    said = await supervisor.stdout.readline()
    if not said:
        pytest.fail((await supervisor.stderr.read()).decode())
    yield Town(home, environment, supervisor, json.loads(said))
    if supervisor.returncode is None:
        supervisor.terminate()
    await supervisor.communicate()


async def test_a_newcomer_sees_a_sale_go_through_every_service_and_can_go_on(town: Town) -> None:
    sale = town.said["sale"]
    assert (sale["totalPaise"], sale["status"]) == ("72500", "SALE_STATUS_COMPLETED")
    assert sale["receiptNumber"].startswith("STORE-001-")
    assert {span["service"] for span in town.said["trace"]} == set(SERVICES)
    assert all(set(span) == {"service", "name", "start_ms", "ms"} for span in town.said["trace"])
    assert set(town.said) == {"gateway", "sale", "trace", "seconds"}

    description = town.description
    assert stat.S_IMODE(town.home.description.stat().st_mode) == 0o600
    assert set(description["services"]) == set(SERVICES)
    spans = await fetch_trace(description["otlp"]["traces"], sale["correlationId"])
    assert not orphans(spans)
    assert [span.service for depth, span in in_order(spans) if depth == 0] == ["gateway"]

    await _assert_one_id_everywhere(town, sale)

    waterfall = await town.venus("trace", sale["correlationId"])
    assert waterfall.code == 0
    assert all(service in waterfall.stdout for service in SERVICES)
    token = (await town.venus("token", "--role", "cashier", "--store", "2")).stdout.strip()
    mine = await ask("GET", f"{town.said['gateway']}/v1/stores/2/stock", token=token)
    assert (mine.status, len(mine.json()["pools"])) == (200, 6)
    assert (await ask("GET", f"{town.said['gateway']}/v1/stores/1/stock", token=token)).status == 404

    second = await town.venus("up", "--once")
    assert second.code == 1
    assert f"already running (pid {town.supervisor.pid})" in second.stderr

    down = await town.venus("down")
    assert (down.code, down.stdout[:10]) == (0, "stopped in")
    assert await town.supervisor.wait() == 0
    assert not town.home.description.exists()
    assert processes_of(town.home.folder) == []


async def _assert_one_id_everywhere(town: Town, sale: Mapping[str, Any]) -> None:
    """The trace id of the sale finds it in the log of transactions and in the log lines."""
    trace_id = sale["correlationId"]
    admin = town.description["tokens"]["admin"]
    listed = await ask("GET", f"{town.said['gateway']}/v1/transactions?traceId={trace_id}", token=admin)
    found = [(one["transactionId"], one["traceId"]) for one in listed.json()["transactions"]]
    assert found == [(sale["saleId"], trace_id)]
    lines = (town.home.logs / "orchestrator.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if trace_id in line]
    assert [(line["service"], line["saga_id"], line["trace_id"]) for line in told] == [
        ("orchestrator", sale["saleId"], trace_id)
    ]


async def test_a_killed_supervisor_leaves_no_process_and_the_next_start_adds_only_its_sale(town: Town) -> None:
    town.supervisor.kill()
    await town.supervisor.communicate()
    for _ in range(100):
        if not processes_of(town.home.folder):
            break
        await asyncio.sleep(0.1)
    assert processes_of(town.home.folder) == []
    assert (await town.venus("down")).stdout == "nothing is running\n"

    again = await town.venus("up", "--once", "--json")

    assert again.code == 0, again.stderr
    first, second = (said["sale"]["receiptNumber"] for said in (town.said, json.loads(again.stdout)))
    assert [number.rpartition("-")[2] for number in (first, second)] == ["000001", "000002"]
    assert processes_of(town.home.folder) == []
    assert await _movements(town.home) == {"OPENING_BALANCE": 5 * 6, "SALE": 2 * 2}


async def test_a_service_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    environment = environment_of(tmp_path / "home") | {"VENUS_ISOLATION": "nonsense"}
    ended = await venus(environment, "up", "--once", "--json")
    assert (ended.code, ended.stdout) == (1, "")
    assert "ended with exit code 1 before it was ready" in ended.stderr
    assert "isolation" in ended.stderr
    assert processes_of(tmp_path / "home") == []


async def _movements(home: Home) -> dict[str, int]:
    """How often stock moved, by reason, as the stopped stack's database remembers it."""
    server = EmbeddedPostgres(home.postgres)
    await server.start()
    try:
        session = await asyncpg.connect(server.superuser_url("inventory"))
        try:
            rows = await session.fetch("SELECT reason, count(*) AS times FROM movement GROUP BY reason")
        finally:
            await session.close()
    finally:
        await server.stop()
    return {row["reason"]: row["times"] for row in rows}
