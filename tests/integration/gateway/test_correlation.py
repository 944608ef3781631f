"""Every answer carries the trace id of its request, whatever became of it."""

import asyncio
import re

import pytest

from tests.integration.gateway.conftest import sale
from venus_kit import telemetry
from venus_kit.settings import ProcessSettings

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


async def raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


ANSWERS = [
    ("GET", "/v1/stores/1/stock", {}, 200),
    ("GET", "/healthz", {}, 200),
    ("GET", "/readyz", {}, 200),
    ("HEAD", "/healthz", {}, 200),
    ("HEAD", "/v1/stores/1/stock", {}, 200),
    ("OPTIONS", "/v1/stores/1/stock", {}, 204),
    ("OPTIONS", "/nowhere", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("GET", "/v1/stores//stock", {}, 404),
    ("GET", "/v1/stores/1/stock/", {}, 404),
    ("POST", "/healthz", {}, 405),
    ("DELETE", "/v1/stores/1/stock", {}, 405),
    ("GET", "/v1/stores/1/stock", {"headers": {"authorization": "Bearer x"}}, 401),
    ("GET", "/v1/stores/1/stock", {"headers": {"authorization": ""}}, 401),
    ("GET", "/v1/accounts/bank", {}, 403),
    ("GET", "/v1/stores/2/stock", {}, 404),
    ("GET", "/v1/stores/x/stock", {}, 400),
    ("GET", "/v1/stores/1/stock?" + "x" * 5000, {}, 414),
    ("GET", "/v1/stores/1/stock", {"headers": {"x-large": "x" * 20_000}}, 431),
    ("GET", "/v1/stores/1/stock", {"headers": [("traceparent", PARENT), ("traceparent", PARENT)]}, 400),
    ("GET", "/v1/stores/1/stock", {"content": b"{}"}, 400),
    ("POST", "/v1/stores/1/sales", {"json": {"lines": 1}}, 400),
    ("POST", "/v1/stores/1/sales", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
    ("POST", "/v1/stores/1/sales", {"content": b"{}"}, 415),
    ("POST", "/v1/stores/1/sales", {"json": {"note": "x" * 70_000}}, 413),
    ("POST", "/v1/stores/1/sales", {"json": sale(sku="BREAK")}, 503),
    ("GET", "/v1/stores/1/sales/0190c2a4-0000-7000-8000-000000000001", {}, 500),  # its service does not know the RPC
]


async def test_the_trace_id_is_on_every_answer(client):
    for method, path, options, code in ANSWERS:
        answer = await client.request(method, path, **options)
        assert answer.status_code == code, (method, path, answer.text)
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-correlation-id"])
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if code >= 400:
            assert answer.json()["error"]["code"] == code
            assert answer.json()["error"]["status"]


async def test_no_two_requests_share_a_trace(client):
    answers = [await client.get("/healthz") for _ in range(3)]
    assert len({answer.headers["x-correlation-id"] for answer in answers}) == 3


async def test_a_callers_trace_is_gone_on_with(client):
    for path in ("/healthz", "/nowhere", "/v1/stores/1/stock", "/v1/stores/2/stock"):
        answer = await client.get(path, headers={"traceparent": PARENT})
        assert answer.headers["x-correlation-id"] == TRACE_ID, path


async def test_a_malformed_trace_is_dropped(client):
    for traceparent in (
        "nonsense",
        f"00-{TRACE_ID}-0000000000000000-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"ff-{TRACE_ID}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-00f067aa0ba902b7-01-extra",
    ):
        answer = await client.get("/healthz", headers={"traceparent": traceparent})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-correlation-id"])
        assert answer.headers["x-correlation-id"] not in {TRACE_ID, "0" * 32}


@pytest.mark.parametrize(("ratio", "flag"), [(0.0, "00"), (1.0, "01")])
async def test_the_gateway_decides_itself_what_is_sampled(start, neighbour, identities, ratio, flag):
    process = ProcessSettings(
        service_key_file=identities.key_files["gateway"], service_jwks_file=identities.jwks_file, trace_ratio=ratio
    )
    told = telemetry.setup("gateway", process, decides_sampling=True)
    try:
        async with start(neighbour) as (_, client):
            for said in ("00", "01"):
                await client.get("/v1/stores/1/stock", headers={"traceparent": f"{PARENT[:-2]}{said}"})
            await client.get("/v1/stores/1/stock")
    finally:
        told.shutdown()
    passed_on = [metadata["traceparent"] for metadata in neighbour.inventory.metadata]
    assert [traceparent[-2:] for traceparent in passed_on] == [flag] * 3
    assert [traceparent.split("-")[1] == TRACE_ID for traceparent in passed_on] == [True, True, False]


async def test_what_is_no_http_is_answered_with_a_trace_id_too(gateway):
    answer = await raw(gateway.http_port, b"HELO gateway\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert re.search(rb"x-correlation-id: [0-9a-f]{32}\r\n", head)
    assert b"HTTP_MALFORMED" in body


async def test_a_head_without_end_is_cut_off(gateway):
    answer = await raw(gateway.http_port, b"GET / HTTP/1.1\r\n" + b"x-a: " + b"a" * 100_000)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"x-correlation-id: " in answer


async def test_an_odd_target_never_breaks_the_gateway(gateway, issuer):
    token = issuer.token().encode()
    rest = b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer " + token + b"\r\n\r\n"
    for target in (
        b"*",
        b"/%zz",
        b"/v1/\xff",
        b"//",
        b"/v1/stores/%00/stock",
        b"/v1/stores/1%2fx/stock",
        b"/:",
        b"/v1:",
    ):
        answer = await raw(gateway.http_port, b"GET " + target + rest)
        assert answer[9:12] in {b"400", b"404"}, (target, answer)
        assert b"x-correlation-id: " in answer


async def test_405_and_options_tell_what_is_allowed(client):
    assert (await client.delete("/v1/stores/1/stock")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await client.options("/v1/stores/1/sales")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await client.get("/v1/stores/1/stock:adjust")).headers["allow"] == "OPTIONS, POST"


async def test_head_tells_what_get_would_without_the_body(client):
    answer = await client.head("/v1/stores/1/stock")
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 100
