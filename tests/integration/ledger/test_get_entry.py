from uuid import UUID

from tests.integration.ledger.books import a_request
from tests.integration.ledger.conftest import RunningLedger
from tests.integration.ledger.refused import refuses
from venus.ledger.v1 import ledger_service_pb2 as pb
from venus_kit.access import Person

VIEW = frozenset({"ledger.view"})
OWNER = Person("owner", VIEW, all_stores=True)
MANAGER_OF_1 = Person("manager", VIEW, store_ids=frozenset({1}))


async def _get(ledger: RunningLedger, person: Person, store_id: int, number: int) -> pb.GetEntryResponse:
    request = pb.GetEntryRequest(store_id=store_id, entry_id=str(UUID(int=number)))
    return await ledger.gateway.GetEntry(request, metadata=ledger.as_person(person))


async def test_an_entry_reads_as_it_was_booked(ledger: RunningLedger) -> None:
    booked = await ledger.orchestrator.PostEntry(a_request(1))
    nothing = await ledger.orchestrator.PostEntry(a_request(2, total_paise=0))

    assert (await _get(ledger, MANAGER_OF_1, 1, 1)).entry == booked.entry
    assert (await _get(ledger, MANAGER_OF_1, 1, 2)).entry == nothing.entry


async def test_an_entry_is_found_only_in_its_own_store(ledger: RunningLedger) -> None:
    await ledger.orchestrator.PostEntry(a_request(1, store_id=2))

    async with refuses("NOT_FOUND", "ENTRY_NOT_FOUND"):
        await _get(ledger, OWNER, 1, 1)
    async with refuses("NOT_FOUND", "ENTRY_NOT_FOUND"):
        await _get(ledger, OWNER, 2, 99)


async def test_another_store_is_not_there_whatever_it_booked(ledger: RunningLedger) -> None:
    await ledger.orchestrator.PostEntry(a_request(1, store_id=2))

    for number in (1, 99):
        async with refuses("NOT_FOUND", "STORE_NOT_FOUND"):
            await _get(ledger, MANAGER_OF_1, 2, number)
