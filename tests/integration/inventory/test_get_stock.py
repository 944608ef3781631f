import asyncio

from tests.integration.inventory.stock_room import (
    A_MOMENT,
    BROILER,
    HELD,
    KEEPER,
    LIVE,
    PARENT_CULL,
    SKIN,
    StockRoom,
    balance,
    line,
    refused,
)
from venus.inventory.v1 import inventory_service_pb2 as pb
from venus_kit.access import Person


async def test_a_store_shows_its_pools_by_bird_and_form(room: StockRoom) -> None:
    await room.open(balance(5_000, SKIN, bird_type=PARENT_CULL), balance(42_500, LIVE, 17))
    await room.open(balance(1_000), store_id=2)
    await room.held(line(2_500, LIVE, 1))

    stock = await room.stock()

    assert list(stock) == [(BROILER, LIVE), (PARENT_CULL, SKIN)]
    live = stock[BROILER, LIVE]
    assert (live.on_hand_grams, live.held_grams, live.available_grams) == (42_500, 2_500, 40_000)
    assert (live.on_hand_birds, live.held_birds, live.available_birds) == (17, 1, 16)
    assert live.sequence == 1


async def test_expired_hold_in_balance(room: StockRoom) -> None:
    """What ran out does not count as held, though nobody has reclaimed it yet."""
    await room.open(balance(10_000), balance(9_000, LIVE, 4))
    await room.held(line(1_000))
    late = await room.held(line(8_000), line(2_000, LIVE, 2), ttl=A_MOMENT)
    await asyncio.sleep(0.01)

    stock = await room.stock()

    assert await room.state(late) == HELD
    skin, live = stock[BROILER, SKIN], stock[BROILER, LIVE]
    assert (skin.held_grams, skin.available_grams) == (1_000, 9_000)
    assert (live.held_grams, live.available_birds) == (0, 4)


async def test_an_unknown_store_and_one_out_of_scope_get_the_same_answer(room: StockRoom) -> None:
    await room.tell(3, "Asia/Kolkata")

    unknown = await refused(room.stock(99))
    not_yours = await refused(room.stock(3))

    assert unknown.reason == not_yours.reason == "STORE_NOT_FOUND"
    assert unknown.message == not_yours.message


async def test_the_permission_is_needed(room: StockRoom) -> None:
    nobody = Person("cashier-2", store_ids=KEEPER.store_ids)

    told = await refused(room.orchestrator.GetStock(pb.GetStockRequest(store_id=1), metadata=room.as_person(nobody)))

    assert (told.reason, told.metadata["permission"]) == ("PERMISSION_MISSING", "inventory.view")


async def test_many_readers_share_a_run(room: StockRoom) -> None:
    await room.open()
    await room.open(balance(1), store_id=2)

    stocks = await asyncio.gather(*(room.stock(1 + n % 2) for n in range(40)))

    assert {stock[BROILER, SKIN].on_hand_grams for stock in stocks[::2]} == {10_000}
    assert {stock[BROILER, SKIN].on_hand_grams for stock in stocks[1::2]} == {1}
