from tests.integration.inventory.stock_room import StockRoom, refused


async def test_newer_facts_of_a_store_are_taken_over_and_older_ones_are_not(room: StockRoom) -> None:
    assert await room.tell(7, "Asia/Kolkata", version=3) == 3
    assert await room.tell(7, "Europe/Berlin", version=2) == 3
    assert await room.tell(7, "Asia/Dubai", version=3) == 3

    (store,) = await room.sql("SELECT * FROM store WHERE store_id = 7")
    assert (store["time_zone"], store["version"]) == ("Asia/Kolkata", 3)
    assert await room.tell(7, "Asia/Dubai", version=4) == 4


async def test_a_store_that_is_told_for_the_first_time_has_no_pool_yet(room: StockRoom) -> None:
    await room.tell(99, "Asia/Kolkata")

    assert await room.stock(99) == {}


async def test_a_time_zone_that_nobody_knows_is_refused(room: StockRoom) -> None:
    for time_zone in ("Mars/Olympus", "../../etc/passwd", "Asia", "Asia/Kolkata\0"):
        told = await refused(room.tell(8, time_zone))
        assert told.reason == "INVALID_REQUEST"
        assert [violation.field for violation in told.violations] == ["store.time_zone"]
