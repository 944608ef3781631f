import asyncio

from tests.integration.inventory.stock_room import (
    A_MOMENT,
    EXPIRED,
    SKINLESS,
    TRACE_ID,
    StockRoom,
    an_id,
    assert_book_is_whole,
    balance,
    line,
    reasons,
    refusal,
    refused,
    repeat,
    wanted,
)
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus_kit.testing import metric


async def test_who_comes_first_is_served_first_and_a_refused_cart_takes_nothing(room: StockRoom) -> None:
    await room.open(balance(10_000))

    outcomes = await room.reserve(wanted(line(6_000)), wanted(line(5_000)), wanted(line(4_000)), wanted(line(1)))

    assert reasons(outcomes) == ["", "INSUFFICIENT_STOCK", "", "INSUFFICIENT_STOCK"]
    told = [refusal(outcomes[n].error).metadata["available_grams"] for n in (1, 3)]
    assert told == ["4000", "0"]  # as each of them saw it
    assert (await room.skin()).held_grams == 10_000
    assert await room.count("reservation") == 2


async def test_a_batch_of_256_on_spread_pools_is_one_transaction(room: StockRoom) -> None:
    await room.open(balance(1_000_000), balance(1_000_000, SKINLESS))
    await room.open(balance(1_000_000), store_id=2)
    lines = [(line(10), 1), (line(20, SKINLESS), 1), (line(30), 2)]
    before = metric("venus_db_transaction_seconds_count", service="inventory", operation="reserve_stock")

    outcomes = await room.reserve(*(wanted(lines[n % 3][0], store_id=lines[n % 3][1]) for n in range(256)))

    assert reasons(outcomes) == [""] * 256
    after = metric("venus_db_transaction_seconds_count", service="inventory", operation="reserve_stock")
    assert after == before + 1
    assert (await room.skin()).held_grams == 86 * 10
    assert (await room.skin(2)).held_grams == 85 * 30
    await assert_book_is_whole(room.urls.migrator)


async def test_same_key_twice_in_batch(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(4_000))
    held = metric("venus_stock_reservations_total", outcome="held")

    outcomes = await room.reserve(
        request, wanted(line(1_000)), repeat(request), repeat(request, [line(5_000)]), repeat(request)
    )

    assert reasons(outcomes) == ["", "", "", "IDEMPOTENCY_MISMATCH", ""]
    assert outcomes[0] == outcomes[2] == outcomes[4]
    assert (await room.skin()).held_grams == 5_000
    assert metric("venus_stock_reservations_total", outcome="held") == held + 2


async def test_twins_in_a_batch_are_refused_alike(room: StockRoom) -> None:
    await room.open(balance(1_000))
    request = wanted(line(1_001))

    outcomes = await room.reserve(request, repeat(request))

    assert reasons(outcomes) == ["INSUFFICIENT_STOCK"] * 2
    assert await room.count("reservation") == 0


async def test_a_malformed_item_does_not_harm_its_neighbours(room: StockRoom) -> None:
    await room.open()

    outcomes = await room.reserve(wanted(line(1_000)), wanted(line(0)), wanted(line(2_000)))

    assert reasons(outcomes) == ["", "INVALID_REQUEST", ""]
    assert [one.field for one in refusal(outcomes[1].error).violations] == ["lines[0].weight_grams"]
    assert (await room.skin()).held_grams == 3_000


async def test_a_poison_item_does_not_harm_its_neighbours(room: StockRoom) -> None:
    await room.open()
    poison = wanted(line(1_000), reservation_id=an_id(666))
    await room.sql("CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; END $$")
    await room.sql(
        "CREATE TRIGGER poison BEFORE INSERT ON reservation_line FOR EACH ROW "
        f"WHEN (NEW.reservation_id = '{poison.reservation_id}') EXECUTE FUNCTION break()"
    )

    outcomes = await room.reserve(*(wanted(line(100)) for _ in range(20)), poison, *(wanted(line(1)) for _ in range(9)))

    broken = [outcome for outcome in outcomes if outcome.HasField("error")]
    assert broken == [outcomes[20]]
    assert broken[0].error.code == 13  # INTERNAL
    assert "zero" not in broken[0].error.message
    assert (await room.skin()).held_grams == 20 * 100 + 9
    assert await room.count("reservation") == 29
    await assert_book_is_whole(room.urls.migrator)


async def test_repeats_new_carts_and_tombstones_in_one_batch(room: StockRoom) -> None:
    await room.open(balance(10_000))
    known, expired, gone, fresh = (wanted(line(2_000)) for _ in range(4))
    expired.ttl.FromTimedelta(A_MOMENT)
    await room.reserve(known, expired)
    await asyncio.sleep(0.01)
    blocker = await room.held(line(8_000))
    await room.release(blocker, gone.reservation_id)
    assert await room.state(expired.reservation_id) == EXPIRED

    outcomes = await room.reserve(gone, repeat(expired), fresh, known, repeat(known, [line(1)]))

    assert reasons(outcomes) == ["RESERVATION_RELEASED", "", "", "", "IDEMPOTENCY_MISMATCH"]
    assert (await room.skin()).held_grams == 6_000
    await assert_book_is_whole(room.urls.migrator)


async def test_a_hold_that_is_repeated_is_not_reclaimed_for_its_neighbour(room: StockRoom) -> None:
    await room.open(balance(10_000))
    request = wanted(line(8_000), ttl=A_MOMENT)
    await room.reserve(request)
    await asyncio.sleep(0.01)

    outcomes = await room.reserve(wanted(line(8_000)), repeat(request))

    assert reasons(outcomes) == ["INSUFFICIENT_STOCK", ""]
    assert (await room.skin()).held_grams == 8_000
    await assert_book_is_whole(room.urls.migrator)


async def test_each_item_leaves_its_own_person_and_trace(room: StockRoom) -> None:
    await room.open()
    await room.reserve(wanted(line(1)))

    (row,) = await room.sql("SELECT * FROM reservation")

    assert (row["holder"], row["actor"], row["trace_id"]) == ("orchestrator", "cashier-1", TRACE_ID)


async def test_only_the_orchestrator_may_batch(room: StockRoom) -> None:
    items = [pb.ReserveStockItem(request=wanted(line(1)))]

    told = await refused(room.sales.BatchReserveStock(pb.BatchReserveStockRequest(items=items)))

    assert told.reason == "PERMISSION_MISSING"
