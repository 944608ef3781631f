import asyncio
import json

import pytest

from tests.integration.gateway.conftest import reason_of, sale, until


async def test_a_till_sells_over_http(client):
    answer = await client.post("/v1/stores/1/sales", json=sale())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["replayed"] is False
    assert body["sale"]["status"] == "SALE_STATUS_COMPLETED"
    assert body["sale"]["totalPaise"] == "45000"
    assert body["sale"]["cashier"] == "asha"
    assert body["sale"]["lines"] == []
    assert body["sale"]["correlationId"] == answer.headers["x-correlation-id"]


async def test_a_sale_that_takes_longer_is_accepted(client):
    answer = await client.post("/v1/stores/1/sales", json=sale(sku="PENDING"))
    assert answer.status_code == 202
    assert answer.json()["sale"]["status"] == "SALE_STATUS_PENDING"


async def test_a_refused_sale_tells_reason_and_facts(client):
    answer = await client.post("/v1/stores/1/sales", json=sale(sku="SHORT"))
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": 400,
        "status": "FAILED_PRECONDITION",
        "message": "There is not enough stock.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INSUFFICIENT_STOCK",
                "domain": "venus",
                "metadata": {"available_grams": "10", "wanted_grams": "2500"},
            }
        ],
    }


async def test_256_tills_share_a_few_streams(client, neighbour):
    async def sell(number):
        return await client.post("/v1/stores/1/sales", json=sale(number))

    client._transport._pool._max_connections = 256
    answers = await asyncio.gather(*(sell(number) for number in range(256)))
    assert [answer.status_code for answer in answers] == [200] * 256
    assert [answer.json()["sale"]["saleId"] for answer in answers] == [sale(n)["saleId"] for n in range(256)]
    assert len({answer.json()["sale"]["correlationId"] for answer in answers}) == 256
    assert len(neighbour.orchestrator.batches) <= 40
    assert sum(len(batch.items) for batch in neighbour.orchestrator.batches) == 256


async def test_a_till_does_not_wait_for_the_slowest_of_its_batch(start, neighbour):
    async with start(neighbour, gather_slots=1) as (_, client):
        slow = [asyncio.create_task(client.post("/v1/stores/1/sales", json=sale(n, "SLOW"))) for n in range(8)]
        await until(lambda: sum(len(batch.items) for batch in neighbour.orchestrator.batches) == 8)
        for number in range(20, 30):
            answer = await asyncio.wait_for(client.post("/v1/stores/1/sales", json=sale(number)), 2.0)
            assert answer.status_code == 200
        assert not any(task.done() for task in slow)
        neighbour.orchestrator.open.set()
        assert [answer.status_code for answer in await asyncio.gather(*slow)] == [200] * 8


async def test_each_item_brings_its_own_person_trace_and_patience(client, neighbour, issuer):
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "authorization": f"Bearer {issuer.token(sub='ravi', device_id='till-7')}",
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
        "x-request-timeout": "3.5",
    }
    answer = await client.post("/v1/stores/1/sales", json=sale(), headers=headers)
    (item,) = neighbour.orchestrator.batches[0].items
    assert item.context.traceparent.split("-")[1] == trace_id == answer.headers["x-correlation-id"]
    assert 3.0 < item.context.budget.ToMilliseconds() / 1000 <= 3.5
    assert not item.context.HasField("actor")
    person = neighbour.orchestrator.people.person(item.context.assertion)
    assert (person.subject, person.device_id, person.store_ids) == ("ravi", "till-7", {1})


@pytest.mark.parametrize("sku", ["BREAK", "SILENT"])
async def test_a_sale_whose_answer_is_lost_may_be_asked_again(client, sku):
    answer = await client.post("/v1/stores/1/sales", json=sale(sku=sku))
    assert answer.status_code == 503
    assert answer.json()["error"]["status"] == "UNAVAILABLE"
    assert reason_of(answer) == "ANSWER_LOST"
    assert answer.headers["retry-after"] == "1"
    assert "127.0.0.1" not in answer.text


async def test_one_lost_answer_leaves_its_neighbours_alone(client):
    fates = ["BRO-SKIN", "SILENT", "SHORT", "PENDING"] * 8
    answers = await asyncio.gather(
        *(client.post("/v1/stores/1/sales", json=sale(number, sku)) for number, sku in enumerate(fates))
    )
    assert [answer.status_code for answer in answers] == [200, 503, 400, 202] * 8


async def test_an_orchestrator_that_is_down_is_told_as_lost(start, neighbour):
    await neighbour.server.stop(0)
    async with start(neighbour) as (_, client):
        answer = await client.post("/v1/stores/1/sales", json=sale())
    assert (answer.status_code, reason_of(answer)) == (503, "ANSWER_LOST")


async def test_a_silent_orchestrator_ends_in_a_late_answer(client):
    answer = await client.post("/v1/stores/1/sales", json=sale(sku="SLOW"), headers={"x-request-timeout": "0.05"})
    assert (answer.status_code, reason_of(answer)) == (504, "ANSWER_LATE")


async def test_a_till_that_leaves_does_not_stop_its_sale(gateway, issuer, neighbour):
    body = json.dumps(sale(sku="SLOW")).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    writer.write(
        b"POST /v1/stores/1/sales HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        + f"authorization: Bearer {issuer.token()}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await until(lambda: neighbour.orchestrator.batches)
    writer.close()
    await writer.wait_closed()
    neighbour.orchestrator.open.set()
    await until(lambda: neighbour.orchestrator.sold == [sale()["saleId"]])


async def test_more_tills_than_the_gateway_holds_are_sent_away_at_once(start, neighbour, monkeypatch):
    from services.gateway.gathering import GatherLimits
    from services.gateway.settings import Settings

    monkeypatch.setattr(Settings, "gathering", lambda self: GatherLimits(max_unanswered=2))
    async with start(neighbour) as (_, client):
        waiting = [asyncio.create_task(client.post("/v1/stores/1/sales", json=sale(n, "SLOW"))) for n in range(2)]
        await until(lambda: sum(len(batch.items) for batch in neighbour.orchestrator.batches) == 2)
        answer = await client.post("/v1/stores/1/sales", json=sale(9))
        assert (answer.status_code, reason_of(answer)) == (429, "TOO_BUSY")
        assert answer.headers["retry-after"] == "1"
        neighbour.orchestrator.open.set()
        assert [it.status_code for it in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_malformed_sale_is_told_by_path_and_never_sent(client, neighbour):
    for document, path in (
        (sale(lines=[{"skuCode": "A", "wieght": 1}]), "lines[0].wieght"),
        (sale(saleType="SALE_TYPE_GIFT"), "saleType"),
        (sale(storeId=2), "storeId"),
    ):
        answer = await client.post("/v1/stores/1/sales", json=document)
        assert answer.status_code == 400
        info, bad = answer.json()["error"]["details"]
        assert info["reason"] == "INVALID_REQUEST"
        assert bad["@type"] == "type.googleapis.com/google.rpc.BadRequest"
        assert [violation["field"] for violation in bad["fieldViolations"]] == [path]
    assert neighbour.porch.seen == []
