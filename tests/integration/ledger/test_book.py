"""The book itself, below the door: what must hold however many write in it at once."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ledger.domain.accounts import PaymentMethod
from services.ledger.domain.entries import Booked, Entry, Event
from services.ledger.operations import post_entries
from services.ledger.store import Tx
from tests.integration.ledger.books import Isolation, an_event, assert_book_balances, balances
from tests.integration.ledger.conftest import OpenDatabase
from venus_kit.errors import IdempotencyMismatch
from venus_kit.ids import derive, new_id
from venus_kit.postgres import Database
from venus_kit.testing import DatabaseUrls, SharedPostgres, metric

events = st.builds(
    an_event,
    st.integers(1, 30),
    store_id=st.integers(1, 2),
    total_paise=st.sampled_from([0, 1, 72500]),
    method=st.sampled_from(PaymentMethod),
)
batches = st.lists(events, min_size=1, max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(batches, min_size=1, max_size=4), min_size=1, max_size=3))
async def test_random_batches_with_duplicates_leave_a_book_that_balances(
    rounds: list[list[list[Event]]], urls: DatabaseUrls, database: Database[Tx]
) -> None:
    answered: dict[UUID, Entry] = {}
    facts: dict[UUID, bytes] = {}
    run = new_id()  # the examples share one book, each with ids of its own
    for drawn in rounds:
        together = [[replace(e, entry_id=derive(run, str(e.entry_id))) for e in batch] for batch in drawn]
        told = await asyncio.gather(*(database.run_batch(post_entries, batch) for batch in together))
        for batch, answers in zip(together, told, strict=True):
            for event, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Booked):
                    assert answered.setdefault(event.entry_id, answer.entry) == answer.entry
                    assert facts.setdefault(event.entry_id, event.fingerprint()) == event.fingerprint()
                else:
                    assert answer == IdempotencyMismatch(entry_id=str(event.entry_id))

        assert set(answered) >= {event.entry_id for batch in together for event in batch}
    await assert_book_balances(urls.migrator)


async def _race(database: Database[Tx], rounds: int = 5) -> list[list[Booked | Exception]]:
    """20 batches of 20 sales each at once, on the accounts of two stores, in every order, again and again."""
    dice = random.Random(7)
    told: list[list[Booked | Exception]] = []
    for turn in range(rounds):
        together: list[list[Event]] = []
        for number in range(20):
            first = turn * 10_000 + number * 100
            batch = [
                an_event(first + i, store_id=1 + i % 2, method=PaymentMethod.CASH if i % 3 else PaymentMethod.UPI)
                for i in range(20)
            ]
            dice.shuffle(batch)
            together.append(batch)
        told += await asyncio.gather(*(database.run_batch(post_entries, batch) for batch in together))
    return told


async def test_20_concurrent_batches_on_hot_accounts_lose_nothing_and_never_deadlock(
    urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    deadlocks = metric("venus_db_retries_total", service="ledger", sqlstate="40P01")
    async with open_database(max_size=20) as database:
        told = await _race(database)

    assert sum(len(_entries(answers)) for answers in told) == 2000
    assert metric("venus_db_retries_total", service="ledger", sqlstate="40P01") == deadlocks
    assert sum(paise for code, paise in (await balances(urls.migrator)).items() if ".till." in code) == 2000 * 72500
    await assert_book_balances(urls.migrator)


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_stricter_isolation_retries_and_loses_nothing(
    isolation: Isolation, urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    async with open_database(isolation, max_size=4) as database:
        told = await _race(database, rounds=1)
        again = await _race(database, rounds=1)

    assert [_entries(answers) for answers in again] == [_entries(answers) for answers in told]
    assert sum(paise for code, paise in (await balances(urls.migrator)).items() if ".till." in code) == 400 * 72500
    await assert_book_balances(urls.migrator)


async def test_20_batches_with_the_same_ids_at_once_book_them_once_and_get_equal_answers(
    urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    forwards = [an_event(number, store_id=1 + number % 2) for number in range(1, 41)]
    async with open_database(max_size=20) as database:
        told = await asyncio.gather(
            *(
                database.run_batch(post_entries, forwards if turn % 2 else list(reversed(forwards)))
                for turn in range(20)
            )
        )

    in_one_order = [_entries(answers if turn % 2 else answers[::-1]) for turn, answers in enumerate(told)]
    assert all(entries == in_one_order[0] for entries in in_one_order)
    assert await balances(urls.migrator) == {
        "store.1.till.cash": 20 * 72500,
        "store.1.sales": -20 * 72500,
        "store.2.till.cash": 20 * 72500,
        "store.2.sales": -20 * 72500,
    }
    await assert_book_balances(urls.migrator)


HOLD_ENTRY = """
INSERT INTO entry (entry_id, fingerprint, kind, store_id, business_date, original_date, reference, actor, trace_id)
VALUES ($1::uuid, '', 'SALE', 1, '2026-01-05', '2026-01-05', '', '', '')
"""
HOLD_NEW_ACCOUNT = "INSERT INTO account (account, store_id, kind) VALUES ($1::text, 1, 'TILL')"
HOLD_ACCOUNT = "SELECT account FROM account WHERE account = $1::text FOR UPDATE"


async def test_batches_with_the_same_ids_in_opposite_orders_wait_and_do_not_deadlock(
    urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    one_way = [an_event(number) for number in (1, 9, 2)]
    other_way = [an_event(number) for number in (2, 8, 1)]

    async with open_database() as database:
        await _cross(database, urls, one_way, other_way, HOLD_ENTRY, (UUID(int=9), UUID(int=8)))

    assert (await balances(urls.migrator))["store.1.till.cash"] == 4 * 72500


@pytest.mark.parametrize("known", [False, True], ids=["new accounts", "known accounts"])
async def test_batches_with_the_same_accounts_in_opposite_orders_wait_and_do_not_deadlock(
    known: bool, urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    one_way = [an_event(10 + store_id, store_id=store_id) for store_id in (1, 9, 2)]
    other_way = [an_event(20 + store_id, store_id=store_id) for store_id in (2, 8, 1)]

    async with open_database() as database:
        if known:
            await database.run(post_entries, [an_event(30 + store_id, store_id=store_id) for store_id in (2, 8, 1, 9)])
        hold = HOLD_ACCOUNT if known else HOLD_NEW_ACCOUNT
        await _cross(database, urls, one_way, other_way, hold, ("store.9.till.cash", "store.8.till.cash"))

    assert (await balances(urls.migrator))["store.1.till.cash"] == (3 if known else 2) * 72500
    await assert_book_balances(urls.migrator)


async def _cross(
    database: Database[Tx],
    urls: DatabaseUrls,
    one_way: list[Event],
    other_way: list[Event],
    hold: str,
    middles: tuple[object, object],
) -> None:
    """Stop both batches at the row in their middle, then let go: without one order each wants what the other has."""
    deadlocks = metric("venus_db_retries_total", service="ledger", sqlstate="40P01")
    holders = [await asyncpg.connect(urls.migrator) for _ in middles]
    turns = [holder.transaction() for holder in holders]
    for holder, turn, middle in zip(holders, turns, middles, strict=True):
        await turn.start()
        await holder.execute(hold, middle)

    batches = [asyncio.create_task(database.run_batch(post_entries, batch)) for batch in (one_way, other_way)]
    await _until_waiting(urls, len(batches))
    for holder, turn in zip(holders, turns, strict=True):
        await turn.rollback()
        await holder.close()

    assert [len(_entries(answers)) for answers in await asyncio.gather(*batches)] == [len(one_way), len(other_way)]
    assert metric("venus_db_retries_total", service="ledger", sqlstate="40P01") == deadlocks


async def _until_waiting(urls: DatabaseUrls, sessions: int) -> None:
    """Until so many sessions of this database wait for a lock."""
    watcher = await asyncpg.connect(urls.migrator)
    waiting = (
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(4):
        while await watcher.fetchval(waiting) < sessions:
            await asyncio.sleep(0.01)
    await watcher.close()


async def test_a_clock_that_runs_back_does_not_turn_an_account_s_history(
    urls: DatabaseUrls, open_database: OpenDatabase, postgres: SharedPostgres
) -> None:
    async with open_database() as database:
        await database.run(post_entries, [an_event(1)])
    postgres.shift_time(urls, timedelta(hours=-1))
    async with open_database() as database:
        await database.run(post_entries, [an_event(2)])

    await assert_book_balances(urls.migrator)


@pytest.mark.parametrize("table", ["entry", "posting"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET business_date = business_date + 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
async def test_what_is_booked_is_never_changed(
    table: str, statement: str, urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    async with open_database() as database:
        await database.run(post_entries, [an_event(1)])

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _execute(urls.service, statement.format(table))
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await _execute(urls.migrator, statement.format(table))


@pytest.mark.parametrize(
    ("debit", "credit", "amount_paise", "kept"),
    [
        ("store.1.sales", "store.1.sales", 1, "money_moves_between_two_accounts"),
        ("store.1.sales", "store.1.till.cash", 0, "amount_is_a_sum_of_money"),
        ("store.1.sales", "store.1.till.cash", -1, "amount_is_a_sum_of_money"),
        ("store.1.sales", "store.1.till.cash", 10**15 + 1, "amount_is_a_sum_of_money"),
        ("store.1.sales", "store.1.gone", 1, "posting_credit_account_fkey"),
    ],
)
async def test_no_posting_can_be_written_that_is_not_double_entry(
    debit: str, credit: str, amount_paise: int, kept: str, urls: DatabaseUrls, database: Database[Tx]
) -> None:
    await database.run(post_entries, [an_event(1)])

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await _execute(
            urls.service,
            "INSERT INTO posting SELECT entry_id, 2,"
            f" '{debit}', '{credit}', {amount_paise}, business_date, 99, 0, 99, 0, now() FROM entry",
        )
    assert kept in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM account",
        "UPDATE account SET store_id = 2",
        "UPDATE account SET account = 'bank'",
        "INSERT INTO ledger_day VALUES (1, '2026-01-05', 'CLOSED')",
        "CREATE TABLE mine ()",
        "ALTER TABLE posting DISABLE TRIGGER ALL",
    ],
)
async def test_the_service_can_do_no_more_than_its_work(statement: str, urls: DatabaseUrls) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _execute(urls.service, statement)


def _entries(answers: list[Booked | Exception]) -> list[Entry]:
    assert all(isinstance(answer, Booked) for answer in answers)
    return [answer.entry for answer in answers if isinstance(answer, Booked)]


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
