import asyncio

from tests.integration.inventory.conftest import OpenRoom
from tests.integration.inventory.stock_room import (
    A_MOMENT,
    COMMITTED,
    EXPIRED,
    HELD,
    LIVE,
    RELEASED,
    StockRoom,
    an_id,
    assert_book_is_whole,
    balance,
    committing,
    line,
    reasons,
    refused,
    releasing,
    wanted,
)
from venus_kit.testing import metric


async def test_a_hold_is_given_back(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(9_000, LIVE, 4))
    reservation_id = await room.held(line(4_000), line(3_000, LIVE, 2))
    released = metric("venus_stock_reservations_total", outcome="released")

    await room.orchestrator.ReleaseStock(releasing(reservation_id))

    assert await room.state(reservation_id) == RELEASED
    assert [(pool.held_grams, pool.held_birds) for pool in (await room.stock()).values()] == [(0, 0), (0, 0)]
    assert metric("venus_stock_reservations_total", outcome="released") == released + 1
    await assert_book_is_whole(room.urls.migrator)


async def test_releasing_twice_is_releasing_once(room: StockRoom) -> None:
    """Also test_reserved_never_negative: a second release has nothing to give back."""
    await room.open()
    await room.held(line(1_000))
    reservation_id = await room.held(line(4_000))
    released = metric("venus_stock_reservations_total", outcome="released")

    for _ in range(3):
        await room.orchestrator.ReleaseStock(releasing(reservation_id))

    assert (await room.skin()).held_grams == 1_000
    assert metric("venus_stock_reservations_total", outcome="released") == released + 1


async def test_reserved_never_negative(open_room: OpenRoom) -> None:
    """Twenty releases of one hold at once, over two replicas."""
    rooms = [await open_room(), await open_room()]
    await rooms[0].open()
    reservation_id = await rooms[0].held(line(4_000))

    await asyncio.gather(*(rooms[n % 2].orchestrator.ReleaseStock(releasing(reservation_id)) for n in range(20)))

    skin = await rooms[0].skin()
    assert (skin.held_grams, skin.available_grams) == (0, 10_000)
    await assert_book_is_whole(rooms[0].urls.migrator)


async def test_undo_before_do(room: StockRoom) -> None:
    await room.open()
    request = wanted(line(4_000))

    await room.orchestrator.ReleaseStock(releasing(request.reservation_id))
    await room.orchestrator.ReleaseStock(releasing(request.reservation_id))

    tombstone = await room.find(request.reservation_id)
    assert (tombstone.state, list(tombstone.lines), tombstone.holder) == (RELEASED, [], "orchestrator")
    assert (await refused(room.orchestrator.ReserveStock(request))).reason == "RESERVATION_RELEASED"
    assert (await room.skin()).held_grams == 0


async def test_do_and_undo_at_once_leave_nothing_held(room: StockRoom) -> None:
    await room.open()
    for _ in range(20):
        request = wanted(line(4_000))
        await asyncio.gather(
            room.orchestrator.ReserveStock(request),
            room.orchestrator.ReleaseStock(releasing(request.reservation_id)),
            return_exceptions=True,
        )
        assert await room.state(request.reservation_id) == RELEASED

    assert (await room.skin()).held_grams == 0
    await assert_book_is_whole(room.urls.migrator)


async def test_an_expired_hold_is_released_without_giving_back_twice(room: StockRoom) -> None:
    await room.open()
    late = await room.held(line(8_000), ttl=A_MOMENT)
    await asyncio.sleep(0.01)
    await room.held(line(9_000))
    assert await room.state(late) == EXPIRED

    await room.orchestrator.ReleaseStock(releasing(late))

    assert await room.state(late) == RELEASED
    assert (await room.skin()).held_grams == 9_000
    await assert_book_is_whole(room.urls.migrator)


async def test_what_is_committed_cannot_be_given_back(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(4_000))
    await room.commit(reservation_id)

    told = await refused(room.orchestrator.ReleaseStock(releasing(reservation_id)))

    assert told.reason == "RESERVATION_COMMITTED"
    assert (await room.skin()).on_hand_grams == 6_000


async def test_release_and_commit_at_once_have_one_winner(open_room: OpenRoom) -> None:
    rooms = [await open_room(), await open_room()]
    await rooms[0].open(balance(100_000))
    for turn in range(20):
        reservation_id = await rooms[0].held(line(1_000))
        (release,), (commit,) = await asyncio.gather(
            rooms[turn % 2].release(reservation_id), rooms[1 - turn % 2].commit(reservation_id)
        )
        end = await rooms[0].state(reservation_id)
        told = reasons([release, commit])
        assert (end, told) in [(RELEASED, ["", "RESERVATION_RELEASED"]), (COMMITTED, ["RESERVATION_COMMITTED", ""])]

    await assert_book_is_whole(rooms[0].urls.migrator)


async def test_only_its_holder_may_end_a_hold(room: StockRoom) -> None:
    await room.open()
    of_a_saga = await room.held(line(4_000))
    await room.sales.ReserveStock(wanted(line(1_000), reservation_id=an_id(7)))

    assert (await refused(room.sales.ReleaseStock(releasing(of_a_saga)))).reason == "RESERVATION_NOT_YOURS"
    assert (await refused(room.orchestrator.ReleaseStock(releasing(an_id(7))))).reason == "RESERVATION_NOT_YOURS"
    assert await room.state(of_a_saga) == HELD
    assert (await room.skin()).held_grams == 5_000


async def test_a_tombstone_belongs_to_nobody(room: StockRoom) -> None:
    """Whoever left it, an undo finds it done and a do stays refused: a saga can always compensate."""
    await room.open()
    request = wanted(line(4_000))
    await room.sales.ReleaseStock(releasing(request.reservation_id))

    await room.orchestrator.ReleaseStock(releasing(request.reservation_id))

    assert (await refused(room.orchestrator.ReserveStock(request))).reason == "RESERVATION_RELEASED"
    told = await refused(room.orchestrator.CommitStock(committing(request.reservation_id)))
    assert told.reason == "RESERVATION_RELEASED"


async def test_two_services_that_name_one_id_at_once_are_judged_each_by_itself(room: StockRoom) -> None:
    await room.open()
    for _ in range(10):
        reservation_id = await room.held(line(100))
        mine = room.orchestrator.ReleaseStock(releasing(reservation_id))
        theirs = await asyncio.gather(*(refused(room.sales.ReleaseStock(releasing(reservation_id))) for _ in range(3)))
        await mine
        assert {told.reason for told in theirs} == {"RESERVATION_NOT_YOURS"}
