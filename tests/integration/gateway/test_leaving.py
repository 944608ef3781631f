import asyncio
import os
import signal
import socket
import sys

import httpx
import pytest

from services.gateway.app import Gateway
from tests.integration.gateway.conftest import reason_of, sale, until
from tests.unit.gateway.issuers import write_issuers
from venus_kit.testing import metric


async def test_a_gateway_that_leaves_says_so_and_finishes_what_it_has(start, neighbour):
    async def watch(url):
        await asyncio.sleep(0.2)
        async with httpx.AsyncClient(base_url=url) as other:
            seen = (await other.get("/readyz")).status_code, (await other.get("/healthz")).status_code
        neighbour.orchestrator.open.set()
        return seen

    async with start(neighbour, drain_s=1.0) as (up, client):
        assert (await client.get("/readyz")).status_code == 200
        slow = asyncio.create_task(client.post("/v1/stores/1/sales", json=sale(sku="SLOW")))
        await until(lambda: neighbour.orchestrator.batches)
        watching = asyncio.create_task(watch(up.url))
    assert await watching == (503, 200)
    assert (await slow).status_code == 200


async def test_what_cannot_be_finished_is_answered_all_the_same(start, neighbour):
    async with start(neighbour, grace_s=1.0) as (_, client):
        slow = asyncio.create_task(client.post("/v1/stores/1/sales", json=sale(sku="SLOW")))
        await until(lambda: neighbour.orchestrator.batches)
    answer = await slow
    assert (answer.status_code, reason_of(answer)) == (503, "ANSWER_LOST")
    assert len(answer.headers["x-correlation-id"]) == 32


async def test_the_gateway_is_ready_while_its_neighbours_are_not(start, neighbour):
    await neighbour.server.stop(0)
    async with start(neighbour) as (up, client):
        assert (await client.get("/readyz")).status_code == 200
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{up.metrics_port}") as metrics:
            assert (await metrics.get("/readyz")).status_code == 200


async def test_metrics_name_the_rpc_and_never_the_path(client, gateway):
    before = metric("http_requests_total", method="GetStock", code="OK")
    none_before = metric("http_requests_total", method="none", code="NOT_FOUND")
    await client.get("/v1/stores/1/stock")
    await client.get("/v1/customers/0190c2a4")
    assert metric("http_requests_total", method="GetStock", code="OK") == before + 1
    assert metric("http_requests_total", method="none", code="NOT_FOUND") == none_before + 1
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.metrics_port}") as metrics:
        text = (await metrics.get("/metrics")).text
    assert 'http_request_duration_seconds_count{method="GetStock"}' in text
    assert "0190c2a4" not in text


async def test_a_bug_is_answered_and_reported_and_tells_nothing(client, monkeypatch, caplog):
    def broken(self, visit):
        raise RuntimeError("secret words")

    monkeypatch.setattr(Gateway, "_health", broken)
    answer = await client.get("/healthz")
    assert answer.status_code == 500
    assert answer.json()["error"]["status"] == "INTERNAL"
    assert "secret" not in answer.text
    assert len(answer.headers["x-correlation-id"]) == 32
    assert any(record.exc_info for record in caplog.records)


async def test_the_process_starts_and_ends_on_sigterm(identities, issuer, neighbour, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "VENUS_SERVICE_KEY_FILE": str(identities.key_files["gateway"]),
        "VENUS_SERVICE_JWKS_FILE": str(identities.jwks_file),
        "VENUS_ISSUERS_FILE": str(write_issuers(tmp_path, issuer)),
        "VENUS_HTTP_BIND": f"127.0.0.1:{port}",
        **{f"VENUS_{name}_TARGET": neighbour.target for name in ("INVENTORY", "SALES", "LEDGER", "ORCHESTRATOR")},
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.gateway", env=environment)
    try:
        await _until_ready(port)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_ready(port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(200):
            try:
                assert (await client.get("/readyz")).status_code == 200
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
    raise AssertionError("the gateway does not come up")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'[{"issuer": "a"}]'])
async def test_an_issuers_file_that_cannot_be_used_stops_the_start(start, neighbour, tmp_path, body):
    file = tmp_path / "broken.json"
    file.write_bytes(body)
    with pytest.raises(ValueError, match=r".+"):
        async with start(neighbour, issuers_file=file):
            pass
