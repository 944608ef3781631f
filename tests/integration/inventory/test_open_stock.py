import asyncio

from grpc.aio import AioRpcError

from tests.integration.inventory.conftest import OpenRoom
from tests.integration.inventory.stock_room import (
    BROILER,
    LIVE,
    SKIN,
    SKINLESS,
    StockRoom,
    assert_book_is_whole,
    balance,
    line,
    opening,
    refusal,
    refused,
)
from venus_kit.grpc_status import status_of_rpc_error
from venus_kit.testing import metric


async def test_a_store_opens_its_book(room: StockRoom) -> None:
    booked = metric("venus_stock_movements_total", reason="OPENING_BALANCE")

    opened = await room.open(balance(42_500, LIVE, bird_count=17), balance(10_000), balance(0, SKINLESS))

    live, skin, skinless = opened.pools
    assert (live.on_hand_grams, live.available_grams, live.on_hand_birds, live.sequence) == (42_500, 42_500, 17, 1)
    assert (skin.on_hand_grams, skin.sequence) == (10_000, 1)
    assert (skinless.on_hand_grams, skinless.sequence) == (0, 0)  # nothing moved
    assert list((await room.stock()).values()) == list(opened.pools)
    assert metric("venus_stock_movements_total", reason="OPENING_BALANCE") == booked + 2
    (movement,) = await room.sql("SELECT * FROM movement WHERE inventory_type = 'LIVE'")
    assert (movement["actor"], movement["reason"]) == ("manager-1", "OPENING_BALANCE")
    await assert_book_is_whole(room.urls.migrator)


async def test_a_repeat_gets_the_first_answer_after_the_stock_has_moved(room: StockRoom) -> None:
    request = opening(balance(10_000), balance(500, LIVE, bird_count=1), balance(0, SKINLESS))
    first = await room.orchestrator.OpenStock(request, metadata=room.as_person())
    await room.commit(await room.held(line(4_000)))

    again = await room.orchestrator.OpenStock(request, metadata=room.as_person())

    assert again.replayed
    assert not first.replayed
    assert again.pools == first.pools
    assert await room.count("opening") == 1


async def test_another_content_under_the_same_id_is_a_mismatch(room: StockRoom) -> None:
    request = opening()
    await room.orchestrator.OpenStock(request, metadata=room.as_person())
    request.balances[0].weight_grams += 1

    told = await refused(room.orchestrator.OpenStock(request, metadata=room.as_person()))

    assert told.reason == "IDEMPOTENCY_MISMATCH"


async def test_a_pool_opens_once_and_a_refused_opening_opens_nothing(room: StockRoom) -> None:
    await room.open(balance(10_000))

    told = await refused(room.open(balance(5_000, SKINLESS), balance(1)))

    assert told.reason == "POOL_ALREADY_OPEN"
    assert told.metadata == {"bird_type": "BROILER", "inventory_type": "SKIN"}
    assert list(await room.stock()) == [(BROILER, SKIN)]
    assert await room.count("opening") == 1
    await room.open(balance(5_000, SKINLESS))


async def test_many_openings_of_one_pool_at_once_have_one_winner(open_room: OpenRoom) -> None:
    rooms = [await open_room() for _ in range(4)]
    for form in (SKIN, LIVE):
        answers = await asyncio.gather(
            *(rooms[n % 4].open(balance(1_000 + n, form), balance(5, SKINLESS)) for n in range(20)),
            return_exceptions=True,
        )
        losers = [status_of_rpc_error(one) for one in answers if isinstance(one, AioRpcError)]
        assert len(losers) == (19 if form == SKIN else 20)
        assert {refusal(one).reason for one in losers} == {"POOL_ALREADY_OPEN"}

    assert await rooms[0].count("pool") == 2
    await assert_book_is_whole(rooms[0].urls.migrator)


async def test_twins_in_flight_get_one_answer(room: StockRoom) -> None:
    request = opening()

    answers = await asyncio.gather(
        *(room.orchestrator.OpenStock(request, metadata=room.as_person()) for _ in range(20))
    )

    assert all(answer.pools == answers[0].pools for answer in answers)
    assert await room.count("movement") == 1


async def test_an_unknown_store_has_no_book(room: StockRoom) -> None:
    told = await refused(room.open(store_id=99))

    assert told.reason == "STORE_NOT_FOUND"
    assert await room.count("opening") == 0


async def test_a_pool_named_twice_is_refused_by_its_place(room: StockRoom) -> None:
    told = await refused(room.open(balance(1), balance(2)))

    assert [(violation.field, violation.reason) for violation in told.violations] == [("balances[1]", "POOL_TWICE")]


async def test_birds_on_meat_are_refused(room: StockRoom) -> None:
    told = await refused(room.open(balance(1, SKIN, bird_count=1)))

    assert told.reason == "INVALID_REQUEST"
    assert [violation.field for violation in told.violations] == ["balances[0]"]
