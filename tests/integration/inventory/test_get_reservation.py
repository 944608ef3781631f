from tests.integration.inventory.stock_room import (
    COMMITTED,
    HELD,
    SKINLESS,
    StockRoom,
    an_id,
    balance,
    line,
    refused,
    wanted,
)


async def test_a_reservation_shows_what_it_holds_and_for_whom(room: StockRoom) -> None:
    await room.open(balance(10_000), balance(5_000, SKINLESS))
    held = await room.orchestrator.ReserveStock(wanted(line(1_000, SKINLESS), line(2_000), line(500)))

    found = await room.find(held.reservation.reservation_id)

    assert found == held.reservation
    assert (found.state, found.holder, list(found.lines)) == (
        HELD,
        "orchestrator",
        [line(2_500), line(1_000, SKINLESS)],
    )
    await room.commit(found.reservation_id)
    assert (await room.find(found.reservation_id)).state == COMMITTED


async def test_what_is_not_there_is_not_found(room: StockRoom) -> None:
    await room.open()
    reservation_id = await room.held(line(1))

    assert (await refused(room.find(an_id(1)))).reason == "RESERVATION_NOT_FOUND"
    assert (await refused(room.find(reservation_id, store_id=2))).reason == "RESERVATION_NOT_FOUND"
