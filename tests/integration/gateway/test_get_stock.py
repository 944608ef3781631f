import asyncio

import pytest

from tests.integration.gateway.conftest import reason_of
from venus_kit.errors import FieldViolation, InvalidRequest, NotSignedIn, PermissionMissing, Weather


async def test_stock_is_shown_with_its_zeros_and_names(client):
    answer = await client.get("/v1/stores/1/stock")
    assert answer.status_code == 200
    assert answer.json() == {
        "pools": [
            {
                "birdType": "BIRD_TYPE_BROILER",
                "inventoryType": "INVENTORY_TYPE_SKIN",
                "onHandGrams": str(2**60),
                "heldGrams": "0",
                "availableGrams": "5",
                "onHandBirds": 0,
                "heldBirds": 0,
                "availableBirds": 0,
                "sequence": "0",
            }
        ]
    }


async def test_the_service_learns_who_asks_and_in_which_trace(client, neighbour):
    answer = await client.get("/v1/stores/1/stock")
    caller = neighbour.inventory.callers[0]
    assert caller.service == "gateway"
    assert caller.person.subject == "asha"
    assert neighbour.inventory.metadata[0]["traceparent"].split("-")[1] == answer.headers["x-correlation-id"]


async def test_the_users_token_ends_at_the_gateway(client, neighbour):
    await client.get("/v1/stores/1/stock")
    token = client.headers["authorization"].removeprefix("Bearer ")
    assert not any(token in str(value) for value in neighbour.inventory.metadata[0].values())


async def test_a_store_that_is_not_yours_is_answered_like_one_that_is_not_there(client, neighbour):
    answer = await client.get("/v1/stores/2/stock")
    assert (answer.status_code, reason_of(answer)) == (404, "STORE_NOT_FOUND")
    assert neighbour.porch.seen == []


async def test_all_stores_means_every_store(client, issuer):
    headers = {"authorization": f"Bearer {issuer.token(all_stores=True, store_ids=[])}"}
    assert (await client.get("/v1/stores/77/stock", headers=headers)).status_code == 200


async def test_a_missing_permission_is_refused_by_name(client, issuer, neighbour):
    headers = {"authorization": f"Bearer {issuer.token(permissions=['sales.create'])}"}
    answer = await client.get("/v1/stores/1/stock", headers=headers)
    assert (answer.status_code, reason_of(answer)) == (403, "PERMISSION_MISSING")
    assert answer.json()["error"]["details"][0]["metadata"] == {"permission": "inventory.view"}
    assert neighbour.porch.seen == []


async def test_the_caller_says_how_long_it_waits_up_to_a_cap(client, neighbour):
    for said in ({}, {"x-request-timeout": "2.5"}, {"x-request-timeout": "900"}):
        await client.get("/v1/stores/1/stock", headers=said)
    patience = neighbour.inventory.patience_s
    assert patience == [pytest.approx(10, abs=0.5), pytest.approx(2.5, abs=0.5), pytest.approx(30, abs=0.5)]


async def test_a_wait_that_is_no_time_is_refused(client):
    for said in ("soon", "-1", "0", "1e3", "nan", "inf", "1.2.3"):
        answer = await client.get("/v1/stores/1/stock", headers={"x-request-timeout": said})
        assert answer.status_code == 400
        assert answer.json()["error"]["details"][1]["fieldViolations"][0]["field"] == "X-Request-Timeout"


async def test_a_late_service_is_told_as_late(client, neighbour):
    neighbour.inventory.pause.clear()
    answer = await client.get("/v1/stores/1/stock", headers={"x-request-timeout": "0.05"})
    assert (answer.status_code, reason_of(answer)) == (504, "ANSWER_LATE")


async def test_a_service_that_is_down_is_told_as_unavailable_without_its_address(start, neighbour):
    await neighbour.server.stop(0)
    async with start(neighbour) as (_, client):
        answer = await client.get("/v1/stores/1/stock")
    assert (answer.status_code, reason_of(answer)) == (503, "NEIGHBOUR_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert str(neighbour.port) not in answer.text


async def test_what_fails_behind_is_told_in_fixed_words(client, neighbour):
    for error, code, status in (
        (RuntimeError("secret words"), 500, "INTERNAL"),
        (Weather("secret words"), 503, "UNAVAILABLE"),
        (NotSignedIn(), 500, "INTERNAL"),  # the service does not believe us: no fault of the person
        (PermissionMissing(permission="x"), 403, "PERMISSION_DENIED"),
    ):
        neighbour.inventory.fails = lambda error=error: error
        answer = await client.get("/v1/stores/1/stock")
        assert (answer.status_code, answer.json()["error"]["status"]) == (code, status)
        assert "secret" not in answer.text
        assert len(answer.headers["x-correlation-id"]) == 32


async def test_a_services_field_paths_are_told_as_rest_callers_write_them(client, neighbour):
    neighbour.inventory.fails = lambda: InvalidRequest(
        violations=[FieldViolation("lines[0].weight_grams", "must be more", "int64.gt")]
    )
    answer = await client.get("/v1/stores/1/stock")
    assert answer.json()["error"]["details"][1]["fieldViolations"][0]["field"] == "lines[0].weightGrams"


async def test_rpcs_between_services_are_not_reached(client):
    for path in ("/v1/stores/1/stock:reserve", "/venus.inventory.v1.InventoryService/ReserveStock"):
        assert (await client.post(path, json={})).status_code == 404


async def test_a_repeated_adjustment_stays_200(client, neighbour):
    answer = await client.post(
        "/v1/stores/1/stock:adjust",
        json={
            "adjustmentId": "0190c2a4-0000-7000-8000-000000000001",
            "birdType": "BIRD_TYPE_BROILER",
            "inventoryType": "INVENTORY_TYPE_SKIN",
            "count": {"weightGrams": 42500},
            "reason": "MOVEMENT_REASON_ADJUSTMENT",
        },
    )
    assert answer.status_code == 200
    assert answer.json() == {"replayed": True}
    assert neighbour.inventory.asked[0].count.weight_grams == 42500


async def test_a_refusal_inside_a_reply_is_printed(client):
    answer = await client.get("/v1/transactions/0190c2a4-0000-7000-8000-000000000001")
    assert answer.status_code == 200
    transaction = answer.json()["transaction"]
    assert transaction["status"] == "TRANSACTION_STATUS_COMPENSATED"
    assert transaction["refusal"]["details"][0]["reason"] == "INSUFFICIENT_STOCK"


async def test_query_parameters_reach_the_service(client):
    answer = await client.get("/v1/stores/1/sales", params={"pageSize": 7, "status": "SALE_STATUS_COMPLETED"})
    assert answer.json() == {"sales": [], "nextPageToken": "7"}


async def test_a_client_that_hangs_up_mid_body_leaves_nothing_behind(gateway, issuer):
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    writer.write(
        b"POST /v1/stores/1/sales HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        + f"authorization: Bearer {issuer.token()}\r\ncontent-length: 100\r\n\r\n{{".encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
