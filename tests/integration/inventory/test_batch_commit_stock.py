import asyncio
from itertools import pairwise

from tests.integration.inventory.stock_room import (
    A_MOMENT,
    SKINLESS,
    TRACE_ID,
    StockRoom,
    an_id,
    assert_book_is_whole,
    balance,
    line,
    reasons,
)


async def test_sales_of_one_batch_on_one_pool_get_consecutive_numbers(room: StockRoom) -> None:
    await room.open(balance(1_000_000))
    ids = [await room.held(line(100 + n)) for n in range(20)]

    assert reasons(await room.commit(*ids)) == [""] * 20

    rows = await room.sql("SELECT * FROM movement WHERE reason = 'SALE' ORDER BY sequence")
    assert [row["reference"] for row in rows] == ids
    assert [row["sequence"] for row in rows] == list(range(2, 22))
    assert all(one["on_hand_grams"] + two["weight_grams"] == two["on_hand_grams"] for one, two in pairwise(rows))
    assert {(row["actor"], row["trace_id"]) for row in rows} == {("cashier-1", TRACE_ID)}
    await assert_book_is_whole(room.urls.migrator)


async def test_each_item_is_committed_by_itself(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(10_000, SKINLESS))
    held, committed, released = [await room.held(line(1_000), line(1_000, SKINLESS)) for _ in range(3)]
    await room.commit(committed)
    await room.release(released)

    outcomes = await room.commit(held, committed, released, an_id(9), held, "till-1")

    assert reasons(outcomes) == ["", "", "RESERVATION_RELEASED", "RESERVATION_NOT_FOUND", "", "INVALID_REQUEST"]
    assert (await room.skin()).on_hand_grams == 8_000
    await assert_book_is_whole(room.urls.migrator)


async def test_several_expired_holds_in_one_batch_share_what_is_left(room: StockRoom) -> None:
    await room.open(balance(10_000))
    first, second = [await room.held(line(5_000), ttl=A_MOMENT) for _ in range(2)]
    await asyncio.sleep(0.01)
    other = await room.held(line(4_000))
    assert {row["state"] for row in await room.sql("SELECT state FROM reservation")} == {"EXPIRED", "HELD"}

    outcomes = await room.commit(first, other, second)

    assert reasons(outcomes) == ["", "", ""]
    assert [list(one.reply.corrections) for one in outcomes] == [[], [], [line(4_000)]]
    assert (await room.skin()).on_hand_grams == 0
    assert await room.commit(second) == [outcomes[2]]
    await assert_book_is_whole(room.urls.migrator)


async def test_20_workers_commit_and_reserve_over_each_other(room: StockRoom) -> None:
    await room.open(balance(1_000_000), balance(1_000_000, SKINLESS))

    async def till(number: int) -> None:
        for turn in range(5):
            lines = [line(10 + number), line(20 + turn, SKINLESS)]
            ids = [await room.held(*lines[:: 1 if turn % 2 else -1]) for _ in range(3)]
            assert reasons(await room.commit(*ids)) == [""] * 3

    await asyncio.gather(*(till(number) for number in range(20)))

    skin = await room.skin()
    assert (skin.on_hand_grams, skin.held_grams) == (1_000_000 - sum(15 * (10 + n) for n in range(20)), 0)
    await assert_book_is_whole(room.urls.migrator)
