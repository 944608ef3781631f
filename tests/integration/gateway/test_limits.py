import asyncio
import json

from tests.integration.gateway.conftest import sale


async def test_a_body_that_does_not_come_is_given_up(start, neighbour, issuer):
    async with start(neighbour, body_s=0.1) as (up, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", up.http_port)
        writer.write(
            b"POST /v1/stores/1/sales HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + f"authorization: Bearer {issuer.token()}\r\ncontent-length: 100\r\n\r\n{{".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert b"REQUEST_TOO_SLOW" in answer


async def test_a_chunked_body_is_counted_as_it_comes(client):
    async def chunks():
        for _ in range(20):
            yield b" " * 4096

    answer = await client.post("/v1/stores/1/sales", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"]["details"][0]["reason"] == "BODY_TOO_LARGE"


async def test_a_chunked_sale_is_a_sale(client):
    body = json.dumps(sale()).encode()

    async def chunks():
        yield body[:20]
        yield body[20:]

    answer = await client.post(
        "/v1/stores/1/sales", content=chunks(), headers={"content-type": "application/json; charset=UTF-8"}
    )
    assert answer.status_code == 200


async def test_a_body_of_the_largest_size_is_read(start, neighbour):
    body = json.dumps(sale()).encode()
    async with start(neighbour, body_bytes=len(body)) as (_, client):
        headers = {"content-type": "application/json"}
        assert (await client.post("/v1/stores/1/sales", content=body, headers=headers)).status_code == 200
        assert (await client.post("/v1/stores/1/sales", content=body + b" ", headers=headers)).status_code == 413


async def test_only_plain_json_is_taken(client):
    for headers in (
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/jsonp"},
    ):
        answer = await client.post("/v1/stores/1/sales", content=b"{}", headers=headers)
        assert answer.status_code == 415, headers


async def test_deep_json_is_refused(client):
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/stores/1/sales", content=b"[" * 60_000, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][1]["fieldViolations"][0]["reason"] == "TOO_DEEP"


async def test_an_anonymous_body_is_not_even_read(client, neighbour):
    answer = await client.post("/v1/stores/1/sales", content=b"{", headers={"authorization": ""})
    assert answer.status_code == 401


async def test_requests_on_one_connection_are_answered_in_order(gateway, issuer):
    request = f"GET /v1/stores/1/stock HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {issuer.token()}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    writer.write(request + b"\r\n" + request + b"connection: close\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 200 OK") == 2
