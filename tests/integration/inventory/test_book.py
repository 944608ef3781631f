"""The book itself, below the door: what must hold however many write in it at once, whatever they do."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.inventory import operations
from services.inventory.domain.adjustment import Adjustment, Count, Delta
from services.inventory.domain.book import Reason
from services.inventory.domain.opening import Opening
from services.inventory.domain.reservation import DEFAULT_TTL, Commit, Held, Release, Wanted
from services.inventory.domain.stock import BirdType, InventoryType, Line, Pool, summed
from services.inventory.domain.store_facts import StoreFacts, StoreStatus
from services.inventory.store import Tx
from tests.integration.inventory.shelf_model import Cart, ModelPool, ModelShelf
from tests.integration.inventory.stock_room import OpenDatabase, assert_book_is_whole, fetch, until_waiting
from venus_kit.errors import Refusal
from venus_kit.postgres import Database
from venus_kit.settings import Isolation
from venus_kit.testing import DatabaseUrls, metric

TRACE_ID: Final = "a" * 32
START: Final = {"LIVE": (3_000, 6), "SKIN": (3_000, 0), "SKINLESS": (1_000, 0)}
CARTS: Final[tuple[Cart, ...]] = (
    {"SKIN": (1_500, 0)},
    {"SKIN": (2_000, 0), "SKINLESS": (600, 0)},
    {"LIVE": (1_500, 2)},
    {"LIVE": (100, 5), "SKIN": (100, 0)},
    {"SKINLESS": (1_000, 0), "LIVE": (1_000, 1)},
    {"SKIN": (9_999, 0)},
)
Step = tuple[str, int, int]
FORMS: Final = tuple(START)
STEPS: Final = st.one_of(
    st.tuples(st.sampled_from(["reserve", "reserve", "commit", "release"]), st.integers(0, 4), st.integers(0, 5)),
    st.tuples(st.sampled_from(["adjust", "count"]), st.integers(0, 2), st.integers(-3_000, 3_000)),
    st.just(("time passes", 0, 0)),
)
QUICKLY: Final = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Shelf:
    """One store of its own in the real book, with the verbs of the model."""

    _stores = itertools.count(1)

    def __init__(self, database: Database[Tx], urls: DatabaseUrls) -> None:
        self.store_id = next(self._stores)
        self._database = database
        self._urls = urls

    def pool(self, form: str) -> Pool:
        return Pool(self.store_id, BirdType.BROILER, InventoryType(form))

    def key(self, number: int) -> tuple[int, UUID]:
        return self.store_id, UUID(int=number)

    async def open(self) -> None:
        facts = StoreFacts(self.store_id, StoreStatus.ACTIVE, "Asia/Kolkata", 1)
        await self._database.run(operations.apply_store_facts, [facts])
        balances = tuple(Line(self.pool(form), grams, birds) for form, (grams, birds) in START.items())
        await self._database.run(operations.open_stock, [Opening(self.key(0), balances, "manager-1", TRACE_ID)])

    def wanted(self, number: int, cart: Cart, ttl: timedelta = DEFAULT_TTL) -> Wanted:
        lines = summed(Line(self.pool(form), grams, birds) for form, (grams, birds) in cart.items())
        return Wanted(self.key(number), lines, ttl, "orchestrator", "cashier-1", TRACE_ID)

    def release(self, number: int) -> Release:
        return Release(self.key(number), "orchestrator", "cashier-1", TRACE_ID)

    def commit(self, number: int) -> Commit:
        return Commit(self.key(number), date(2026, 1, 5), "orchestrator", "cashier-1", TRACE_ID)

    def adjustment(self, form: str, by: Delta | Count) -> Adjustment:
        key = self.store_id, uuid4()
        return Adjustment(key, self.pool(form), by, Reason.ADJUSTMENT, "", "manager-1", TRACE_ID)

    async def levels(self) -> dict[str, ModelPool]:
        """The rows as they are, whatever ran out."""
        book = await self._database.run(Tx.lock_stock, [self.pool(form) for form in FORMS])
        return {
            pool.inventory_type.value: ModelPool(
                one.on_hand_grams, one.on_hand_birds, one.held_grams, one.held_birds, one.sequence
            )
            for pool, one in book.levels.items()
        }

    async def states(self) -> dict[int, str]:
        rows = await fetch(
            self._urls.migrator, "SELECT reservation_id, state FROM reservation WHERE store_id = $1", self.store_id
        )
        return {row["reservation_id"].int: row["state"] for row in rows}

    async def time_passes(self) -> None:
        await fetch(
            self._urls.migrator,
            "UPDATE reservation SET hold_until = venus_now() - interval '1 s' WHERE store_id = $1 AND state = 'HELD'",
            self.store_id,
        )


async def _take(step: Step, shelf: Shelf, model: ModelShelf, database: Database[Tx]) -> tuple[str, str]:
    """Do one step in both worlds; what each answered."""
    verb, which, amount = step
    form = FORMS[which % 3]
    birds = amount // 500 if form == "LIVE" else 0
    answer: object
    match verb:
        case "reserve":
            cart = CARTS[amount]
            expected = model.reserve(which, cart)
            (answer,) = await database.run(operations.reserve_stock, [shelf.wanted(which, cart)])
        case "release":
            expected = model.release(which)
            (answer,) = await database.run(operations.release_stock, [shelf.release(which)])
        case "commit":
            expected = model.commit(which)
            (answer,) = await database.run(operations.commit_stock, [shelf.commit(which)])
        case "adjust":
            change = amount or 1
            expected = model.adjust(form, change, birds)
            wish = shelf.adjustment(form, Delta(change, birds))
            (answer,) = await database.run(operations.adjust_stock, [wish])
        case "count":
            expected = model.count(form, abs(amount), abs(birds))
            wish = shelf.adjustment(form, Count(abs(amount), abs(birds), None))
            (answer,) = await database.run(operations.adjust_stock, [wish])
        case _:
            model.time_passes()
            await shelf.time_passes()
            return "", ""
    return answer.reason if isinstance(answer, Refusal) else "", expected


@QUICKLY
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
async def test_whatever_happens_the_book_says_what_a_simple_model_says(
    steps: list[Step], urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    async with open_database(max_size=1) as database:
        shelf = Shelf(database, urls)
        await shelf.open()
        model = ModelShelf({form: ModelPool(grams, birds) for form, (grams, birds) in START.items()})
        for step in steps:
            answer, expected = await _take(step, shelf, model, database)
            assert answer == expected, step
            assert await shelf.levels() == model.pools, step
        assert await shelf.states() == {number: known.state for number, known in model.reservations.items()}
    await assert_book_is_whole(urls.migrator)


BATCHES: Final = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5), st.booleans()), min_size=1, max_size=12)


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
@settings(QUICKLY, max_examples=20)
@given(rounds=st.lists(st.lists(BATCHES, min_size=2, max_size=6), min_size=1, max_size=3))
async def test_random_batches_at_once_leave_a_whole_book(
    isolation: Isolation,
    rounds: list[list[list[tuple[int, int, bool]]]],
    urls: DatabaseUrls,
    open_database: OpenDatabase,
) -> None:
    async with open_database(isolation, max_size=6) as database:
        shelf = Shelf(database, urls)
        await shelf.open()
        for together in rounds:
            await asyncio.gather(*(_run_batch(database, shelf, n, batch) for n, batch in enumerate(together)))
    await assert_book_is_whole(urls.migrator)


async def _run_batch(database: Database[Tx], shelf: Shelf, turn: int, batch: Sequence[tuple[int, int, bool]]) -> None:
    """Reserve, commit or release some ids, some with holds that run out at once."""
    told: Sequence[object]
    if turn % 3 == 0:
        told = await database.run_batch(operations.commit_stock, [shelf.commit(number) for number, _, _ in batch])
    elif turn % 3 == 1:
        told = await database.run_batch(operations.release_stock, [shelf.release(number) for number, _, _ in batch])
    else:
        carts = [
            shelf.wanted(number, CARTS[cart], timedelta(microseconds=1) if short else DEFAULT_TTL)
            for number, cart, short in batch
        ]
        told = await database.run_batch(operations.reserve_stock, carts)
    assert all(isinstance(answer, Refusal) or not isinstance(answer, Exception) for answer in told)


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_stricter_isolation_never_oversells(
    isolation: Isolation, urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    """Hot rows always lose races there; they are run again until the deadline."""
    async with open_database(isolation, max_size=4) as database:
        shelf = Shelf(database, urls)
        await shelf.open()

        async def till(number: int) -> int:
            (held,) = await database.run_batch(
                operations.reserve_stock, [shelf.wanted(number, {"SKIN": (500, 0), "LIVE": (300, 1)})]
            )
            if isinstance(held, Exception):
                assert isinstance(held, Refusal), held
                return 0
            (sold,) = await database.run_batch(operations.commit_stock, [shelf.commit(number)])
            assert not isinstance(sold, Exception), sold
            return 1

        assert sum(await asyncio.gather(*(till(number) for number in range(1, 21)))) == 6
        assert await shelf.levels() == {
            "LIVE": ModelPool(3_000 - 6 * 300, 0, 0, 0, 7),
            "SKIN": ModelPool(0, 0, 0, 0, 7),
            "SKINLESS": ModelPool(1_000, 0),
        }
    await assert_book_is_whole(urls.migrator)


async def test_batches_of_the_same_ids_in_opposite_orders_do_not_deadlock(
    urls: DatabaseUrls, open_database: OpenDatabase
) -> None:
    """Both come to a halt at an id in the middle, so they surely meet."""
    deadlocks = metric("venus_db_retries_total", service="inventory", sqlstate="40P01")
    async with open_database() as database:
        shelf = Shelf(database, urls)
        await shelf.open()
        carts = [shelf.wanted(number, {"SKIN": (1, 0)}) for number in range(1, 22)]
        other = await asyncpg.connect(urls.service)
        in_the_middle = other.transaction()
        await in_the_middle.start()
        await other.execute(
            "INSERT INTO reservation (store_id, reservation_id, state, holder, actor, trace_id, ended_at) "
            "VALUES ($1, $2, 'RELEASED', '', '', '', now())",
            *carts[10].key,
        )
        waiting: list[asyncio.Task[list[Held | Refusal | Exception]]] = []
        for order in (1, -1):
            waiting.append(asyncio.create_task(database.run_batch(operations.reserve_stock, carts[::order])))
            await until_waiting(urls.migrator, len(waiting))
        await in_the_middle.rollback()
        await other.close()

        told = await asyncio.gather(*waiting)
        assert not [answer for answers in told for answer in answers if isinstance(answer, Exception)]
        assert (await shelf.levels())["SKIN"].held_grams == 21

    assert metric("venus_db_retries_total", service="inventory", sqlstate="40P01") == deadlocks


async def test_what_is_written_is_never_changed(urls: DatabaseUrls) -> None:
    for table in ("movement", "reservation_line", "oversale", "opening_line"):
        for change in ("UPDATE {} SET bird_count = 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await fetch(urls.service, change.format(table))
            with pytest.raises(asyncpg.RestrictViolationError, match="what was written stays"):
                await fetch(urls.migrator, change.format(table))


async def test_the_service_can_do_no_more_than_its_work(urls: DatabaseUrls) -> None:
    for statement in (
        "DELETE FROM pool",
        "DELETE FROM store",
        "UPDATE pool SET inventory_type = 'SKIN'",
        "UPDATE reservation SET holder = 'sales'",
        "UPDATE reservation SET fingerprint = NULL",
        "UPDATE adjustment SET fingerprint = NULL",
        "UPDATE opening SET actor = 'me'",
        "CREATE TABLE mine ()",
        "ALTER TABLE movement DISABLE TRIGGER ALL",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(urls.service, statement)


POOL: Final = "INSERT INTO pool VALUES (1, 'BROILER', "
MOVEMENT: Final = "INSERT INTO movement VALUES (1, 'BROILER', 'SKIN', 1, "


IMPOSSIBLE: Final = (
    ("held_within_on_hand", POOL + "'SKIN', 10, 11, 0, 0, 0, now())"),
    ("held_is_never_negative", POOL + "'SKIN', 10, -1, 0, 0, 0, now())"),
    ("birds_only_on_live", POOL + "'SKIN', 10, 0, 1, 0, 0, now())"),
    ("reason_gives_the_direction", MOVEMENT + "5, 0, 5, 0, 'SALE', 'r', '2026-01-05', 'a', '', now())"),
    ("reason_gives_the_direction", MOVEMENT + "-5, 0, 5, 0, 'OPENING_BALANCE', 'r', '2026-01-05', 'a', '', now())"),
    ("reason_gives_the_direction", MOVEMENT + "5, 0, 5, 0, 'GIFT', 'r', '2026-01-05', 'a', '', now())"),
    ("movement_has_a_reference", MOVEMENT + "5, 0, 5, 0, 'ADJUSTMENT', '', '2026-01-05', 'a', '', now())"),
    ("movement_moves", MOVEMENT + "0, 0, 5, 0, 'ADJUSTMENT', 'r', '2026-01-05', 'a', '', now())"),
    ("balance_is_never_negative", MOVEMENT + "-5, 0, -5, 0, 'SALE', 'r', '2026-01-05', 'a', '', now())"),
)


async def test_the_database_itself_refuses_what_cannot_be(urls: DatabaseUrls) -> None:
    await fetch(urls.migrator, "INSERT INTO store VALUES (1, 'ACTIVE', 'Asia/Kolkata', 1)")

    for constraint, statement in IMPOSSIBLE:
        with pytest.raises(asyncpg.CheckViolationError, match=constraint):
            await fetch(urls.service, statement)
