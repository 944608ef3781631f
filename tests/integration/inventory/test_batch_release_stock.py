import asyncio

from tests.integration.inventory.stock_room import (
    A_MOMENT,
    EXPIRED,
    SKINLESS,
    StockRoom,
    an_id,
    assert_book_is_whole,
    balance,
    line,
    reasons,
    wanted,
)


async def test_each_item_is_released_by_itself(room: StockRoom) -> None:
    await room.open(balance(100_000), balance(100_000, SKINLESS))
    held, committed, released, late = [await room.held(line(1_000), line(2_000, SKINLESS)) for _ in range(4)]
    await room.commit(committed)
    await room.release(released)
    await room.sql("UPDATE reservation SET hold_until = venus_now() WHERE reservation_id = $1", late)
    await room.held(line(97_500))
    assert await room.state(late) == EXPIRED

    outcomes = await room.release(held, committed, released, late, an_id(9), held)

    assert reasons(outcomes) == ["", "RESERVATION_COMMITTED", "", "", "", ""]
    assert (await room.skin()).held_grams == 97_500
    assert await room.count("reservation") == 6
    await assert_book_is_whole(room.urls.migrator)


async def test_a_malformed_item_does_not_harm_its_neighbours(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(1_000))

    assert reasons(await room.release(reservation_id, "till-1")) == ["", "INVALID_REQUEST"]
    assert (await room.skin()).held_grams == 0


async def test_undo_and_do_of_the_same_ids_in_opposite_orders_leave_nothing_held(room: StockRoom) -> None:
    await room.open(balance(1_000_000))
    for _ in range(5):
        requests = [wanted(line(100), ttl=A_MOMENT) for _ in range(40)]
        ids = [request.reservation_id for request in requests]
        done, undone, again = await asyncio.gather(
            room.reserve(*requests), room.release(*reversed(ids)), room.reserve(*reversed(requests))
        )
        assert reasons(undone) == [""] * 40
        assert set(reasons(done) + reasons(again)) <= {"", "RESERVATION_RELEASED"}

    assert (await room.skin()).held_grams == 0
    await assert_book_is_whole(room.urls.migrator)
