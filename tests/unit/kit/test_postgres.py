"""The database on a bad day: races, poison, lost connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
import pytest

from venus_kit.errors import Poison, Refusal, Weather
from venus_kit.postgres import Connection, Database
from venus_kit.testing import DatabaseUrls, SharedPostgres, in_thread, metric


class DrawerEmpty(Refusal):
    """There is nothing in the drawer."""


class Drawer:
    """The queries of these tests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def grams(self, pool: int) -> int:
        return cast("int", await self._connection.fetchval("SELECT grams FROM drawer WHERE id = $1", pool))

    async def take(self, pool: int, grams: int) -> None:
        await self._connection.execute("UPDATE drawer SET grams = grams - $2 WHERE id = $1", pool, grams)

    async def lock(self, pool: int) -> None:
        await self._connection.execute("SELECT FROM drawer WHERE id = $1 FOR UPDATE", pool)

    async def put_all(self, pools: Sequence[object]) -> None:
        await self._connection.execute("INSERT INTO drawer SELECT unnest($1::int[]), 1000", pools)

    async def put_text(self, texts: Sequence[str]) -> None:
        await self._connection.execute("INSERT INTO note SELECT unnest($1::text[])", texts)

    async def count(self) -> int:
        return cast("int", await self._connection.fetchval("SELECT count(*) FROM drawer"))

    async def show(self, setting: str) -> str:
        return cast("str", await self._connection.fetchval("SELECT current_setting($1)", setting))

    async def sleep(self, seconds: float) -> None:
        await self._connection.execute("SELECT pg_sleep($1)", seconds)

    async def backend(self) -> int:
        return cast("int", await self._connection.fetchval("SELECT pg_backend_pid()"))

    async def all_columns(self) -> int:
        return len(await self._connection.fetch("SELECT * FROM drawer"))


Open = Callable[..., Any]


@pytest.fixture
async def drawer_url(empty_database: DatabaseUrls) -> str:
    session = await asyncpg.connect(empty_database.migrator)
    await session.execute(
        "CREATE TABLE drawer (id int PRIMARY KEY, grams int NOT NULL CONSTRAINT never_short CHECK (grams >= 0));"
        "CREATE TABLE note (text text NOT NULL);"
        "INSERT INTO drawer VALUES (1, 1000), (2, 1000);"
        "GRANT SELECT, INSERT, UPDATE ON drawer, note TO kit_service"
    )
    await session.close()
    return empty_database.service


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database[Drawer]]:
    database = await Database.connect(url, Drawer, name="kit", **options)
    try:
        yield database
    finally:
        await database.close()


async def take_both(tx: Drawer, first: int, second: int, met: asyncio.Barrier) -> str:
    """Lock two rows in the given order; the first time, wait until the other has its first row too."""
    await tx.lock(first)
    if not met.broken and met.n_waiting < 2:
        try:
            async with asyncio.timeout(0.5):
                await met.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            pass
    await tx.lock(second)
    await tx.take(first, 1)
    return "taken"


async def test_a_deadlock_is_run_again_and_both_are_answered(drawer_url: str) -> None:
    before = metric("venus_db_retries_total", service="kit", sqlstate="40P01")
    met = asyncio.Barrier(2)
    async with opened(drawer_url) as database:
        answers = await asyncio.gather(
            database.run(take_both, 1, 2, met),
            database.run(take_both, 2, 1, met),
        )
        assert answers == ["taken", "taken"]
        assert (await database.run(Drawer.grams, 1), await database.run(Drawer.grams, 2)) == (999, 999)
    assert metric("venus_db_retries_total", service="kit", sqlstate="40P01") == before + 1


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_in_a_stricter_isolation_lost_races_are_run_again_and_nothing_is_oversold(
    drawer_url: str, isolation: str
) -> None:
    before = metric("venus_db_retries_total", service="kit", sqlstate="40001")

    async def sell(tx: Drawer) -> bool:
        left = await tx.grams(1)
        await asyncio.sleep(0.005)
        if left < 100:
            return False
        await tx.take(1, 100)
        return True

    async with opened(drawer_url, isolation=isolation, deadline_s=30.0) as database:
        sold = await asyncio.gather(*(database.run(sell) for _ in range(16)))
        assert sum(sold) == 10
        assert await database.run(Drawer.grams, 1) == 0
    assert metric("venus_db_retries_total", service="kit", sqlstate="40001") > before


async def test_a_race_that_is_lost_until_the_deadline_is_weather(drawer_url: str) -> None:
    async def always_late(tx: Drawer) -> None:
        raise asyncpg.SerializationError("could not serialize access")

    async with opened(drawer_url, deadline_s=0.3) as database:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Weather, match="losing races"):
            await database.run(always_late)
        assert asyncio.get_running_loop().time() - started < 1.0


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_every_transaction_states_its_isolation(drawer_url: str, isolation: str) -> None:
    async with opened(drawer_url, isolation=isolation) as database:
        assert await database.run(Drawer.show, "transaction_isolation") == isolation.replace("_", " ")
        assert await database.run(Drawer.show, "application_name") == "kit"
        assert await database.run(Drawer.show, "lock_timeout") == "5s"


async def test_the_isolation_is_stated_even_where_the_role_has_another_default(
    drawer_url: str, postgres: SharedPostgres
) -> None:
    database_name = drawer_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE \"{database_name}\" SET default_transaction_isolation = 'serializable'")
    async with opened(drawer_url) as database:
        assert await database.run(Drawer.show, "transaction_isolation") == "read committed"


async def put_pools(tx: Drawer, pools: Sequence[object]) -> list[str]:
    await tx.put_all(pools)
    return [f"put {pool}" for pool in pools]


async def test_one_poison_item_of_eight_is_found_and_the_others_are_served(drawer_url: str) -> None:
    before = metric("venus_db_poison_total", service="kit", operation="put_pools")
    async with opened(drawer_url) as database:
        answers = await database.run_batch(put_pools, [10, 11, 12, 1, 13, 14, 15, 16])  # 1 is there already
        assert isinstance(answers[3], Poison)
        assert isinstance(answers[3].__cause__, asyncpg.UniqueViolationError)
        assert answers[:3] + answers[4:] == [f"put {pool}" for pool in (10, 11, 12, 13, 14, 15, 16)]
        assert await database.run(Drawer.count) == 9
    assert metric("venus_db_poison_total", service="kit", operation="put_pools") == before + 1


@pytest.mark.parametrize("poison", [2**40, "no number", None], ids=["too large", "no number", "missing"])
async def test_whatever_makes_an_item_bad_it_alone_suffers(drawer_url: str, poison: object) -> None:
    async with opened(drawer_url) as database:
        answers = await database.run_batch(put_pools, [20, poison, 21])
        assert isinstance(answers[1], Poison)
        assert [answers[0], answers[2]] == ["put 20", "put 21"]


async def test_a_text_that_the_database_cannot_hold_is_poison(drawer_url: str) -> None:
    async def put_texts(tx: Drawer, texts: Sequence[str]) -> list[int]:
        await tx.put_text(texts)
        return [len(text) for text in texts]

    async with opened(drawer_url) as database:
        answers = await database.run_batch(put_texts, ["ok", "nul\x00", "fine"])
        assert [answers[0], answers[2]] == [2, 4]
        assert isinstance(answers[1], Poison)


async def test_poison_says_nothing_of_the_row(drawer_url: str) -> None:
    async with opened(drawer_url) as database:
        [answer] = await database.run_batch(put_pools, [1])
        assert str(answer) == "put_pools: UniqueViolationError drawer_pkey"


async def test_refusals_are_values_in_a_batch_and_its_effects_stay(drawer_url: str) -> None:
    async def take_from(tx: Drawer, pools: Sequence[int]) -> list[int | Refusal]:
        for pool in pools:
            await tx.take(pool, 1)
        return [DrawerEmpty(pool=pool) if pool == 2 else pool for pool in pools]

    async with opened(drawer_url) as database:
        assert await database.run_batch(take_from, [1, 2]) == [1, DrawerEmpty(pool=2)]
        assert await database.run(Drawer.grams, 1) == 999


async def test_a_refusal_that_is_raised_undoes_the_transaction(drawer_url: str) -> None:
    async def take_and_refuse(tx: Drawer) -> None:
        await tx.take(1, 1)
        raise DrawerEmpty(pool=1)

    async with opened(drawer_url) as database:
        with pytest.raises(DrawerEmpty):
            await database.run(take_and_refuse)
        assert await database.run(Drawer.grams, 1) == 1000


async def test_an_operation_that_does_not_answer_each_item_is_undone(drawer_url: str) -> None:
    async def forgetful(tx: Drawer, pools: Sequence[object]) -> list[str]:
        await tx.put_all(pools)
        return ["put"]

    async with opened(drawer_url) as database:
        with pytest.raises(RuntimeError, match="forgetful gave 1 answers to 2 items"):
            await database.run_batch(forgetful, [30, 31])
        assert await database.run(Drawer.count) == 2


async def test_an_empty_batch_needs_no_transaction(drawer_url: str) -> None:
    async with opened(drawer_url) as database:
        assert await database.run_batch(put_pools, []) == []


async def test_a_bug_that_is_nobodys_item_is_not_hidden(drawer_url: str) -> None:
    async def broken(tx: Drawer, pools: Sequence[object]) -> list[str]:
        raise NotImplementedError

    async with opened(drawer_url) as database:
        with pytest.raises(NotImplementedError):
            await database.run_batch(broken, [1, 2])


async def test_a_killed_backend_is_weather_once_and_then_all_is_well(
    drawer_url: str, empty_database: DatabaseUrls, postgres: SharedPostgres
) -> None:
    async with opened(drawer_url, max_size=4) as database:
        await asyncio.gather(*(database.run(Drawer.sleep, 0.05) for _ in range(4)))
        running = asyncio.create_task(database.run(Drawer.sleep, 5.0))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(postgres.cut_sessions, empty_database)
        with pytest.raises(Weather):
            await running
        answers = await asyncio.gather(*(database.run(Drawer.grams, 1) for _ in range(8)))
        assert answers == [1000] * 8
        assert await database.ready()


async def test_sessions_cut_while_they_were_idle_cost_no_more_than_one_weather(
    drawer_url: str, empty_database: DatabaseUrls, postgres: SharedPostgres
) -> None:
    async with opened(drawer_url, max_size=4) as database:
        await asyncio.gather(*(database.run(Drawer.sleep, 0.05) for _ in range(4)))
        postgres.cut_sessions(empty_database)  # on this very thread: the loop has not read the end of the streams
        answers = [await outcome_of(database.run(Drawer.grams, 1)) for _ in range(6)]
        assert [a for a in answers if a != 1000] in ([], ["Weather"])
        assert answers[-1] == 1000


class Cable:
    """A TCP connection to the database that can go dead without a word, as a network does."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def lay(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return cast("int", self._server.sockets[0].getsockname()[1])

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    def go_dead(self) -> None:
        """What is connected hears nothing any more; new connections are good."""
        for pump in self._pumps:
            pump.cancel()

    async def take_up(self) -> None:
        self.go_dead()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        self._server.close()
        await self._server.wait_closed()


async def test_a_network_that_went_dead_costs_one_weather_and_not_one_for_each_session(drawer_url: str) -> None:
    parts = urlsplit(drawer_url)
    cable = Cable("127.0.0.1", cast("int", parts.port))
    url = drawer_url.replace(f":{parts.port}/", f":{await cable.lay()}/")
    async with opened(url, max_size=3, statement_timeout_s=0.2) as database:
        await asyncio.gather(*(database.run(Drawer.sleep, 0.1) for _ in range(3)))
        cable.go_dead()
        answers = [await outcome_of(database.run(Drawer.grams, 1)) for _ in range(5)]
        assert answers == ["Weather", 1000, 1000, 1000, 1000]
        await cable.take_up()


async def outcome_of(work: Awaitable[int]) -> int | str:
    try:
        return await work
    except Weather:
        return "Weather"


async def test_bad_weather_reaches_every_item_and_is_not_split(
    drawer_url: str, empty_database: DatabaseUrls, postgres: SharedPostgres
) -> None:
    tries = 0

    async def slow(tx: Drawer, items: Sequence[int]) -> list[int]:
        nonlocal tries
        tries += 1
        await tx.sleep(5.0)
        return list(items)

    async with opened(drawer_url) as database:
        running = asyncio.create_task(database.run_batch(slow, [1, 2, 3]))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(postgres.cut_sessions, empty_database)
        answers = await running
        assert [type(answer) for answer in answers] == [Weather] * 3
        assert tries == 1


async def test_a_lock_that_cannot_be_had_is_weather_and_the_session_stays(drawer_url: str) -> None:
    async with opened(drawer_url, lock_timeout_s=0.1, max_size=2) as database:
        held, release = asyncio.Event(), asyncio.Event()

        async def hold(tx: Drawer) -> None:
            await tx.lock(1)
            held.set()
            await release.wait()

        holder = asyncio.create_task(database.run(hold))
        await held.wait()
        before = await database.run(Drawer.backend)
        with pytest.raises(Weather, match="LockNotAvailable"):
            await database.run(Drawer.lock, 1)
        assert await database.run(Drawer.backend) == before
        release.set()
        await holder


async def test_a_statement_that_takes_too_long_is_weather(drawer_url: str) -> None:
    async with opened(drawer_url, statement_timeout_s=0.1) as database:
        with pytest.raises(Weather, match="QueryCanceled"):
            await database.run(Drawer.sleep, 5.0)


async def test_waiting_for_a_connection_ends_at_the_deadline(drawer_url: str) -> None:
    async with opened(drawer_url, max_size=1, deadline_s=0.2) as database:
        busy = asyncio.create_task(database.run(Drawer.sleep, 0.6))
        await asyncio.sleep(0.05)
        with pytest.raises(Weather):
            await database.run(Drawer.grams, 1)
        await busy


async def test_a_plan_made_stale_by_a_migration_is_made_again(drawer_url: str, empty_database: DatabaseUrls) -> None:
    async with opened(drawer_url, max_size=1) as database:
        assert await database.run(Drawer.all_columns) == 2
        session = await asyncpg.connect(empty_database.migrator)
        await session.execute("ALTER TABLE drawer ADD COLUMN birds int")
        await session.close()
        assert await database.run(Drawer.all_columns) == 2


async def test_no_database_is_weather_at_boot() -> None:
    with pytest.raises(Weather, match="no database"):
        await Database.connect("postgresql://nobody@127.0.0.1:1/none", Drawer, name="kit", deadline_s=1.0)


async def test_readiness_tells_the_truth(drawer_url: str, postgres: SharedPostgres) -> None:
    name = drawer_url.rpartition("/")[2]
    async with opened(drawer_url) as database:
        assert await database.ready()
        postgres.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        in_thread(cut(postgres.superuser_url(), name))
        await asyncio.sleep(0.05)
        assert not await database.ready()
        with pytest.raises(Weather):
            await database.run(Drawer.grams, 1)
        postgres.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert await database.ready()


async def cut(url: str, name: str) -> None:
    session = await asyncpg.connect(url)
    await session.execute(f"SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = '{name}'")
    await session.close()


async def test_the_service_may_not_change_the_schema(drawer_url: str) -> None:
    session = await asyncpg.connect(drawer_url)
    for statement in ("CREATE TABLE mine (id int)", "DROP TABLE drawer", "ALTER TABLE drawer ADD COLUMN x int"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement)
    await session.close()


async def test_a_role_of_another_service_may_not_even_connect(drawer_url: str, postgres: SharedPostgres) -> None:
    other = postgres.fresh("other")
    stranger = drawer_url.replace("kit_service", "other_service")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(stranger)
    postgres.drop(other)


async def test_operations_are_timed_by_name(drawer_url: str) -> None:
    before = metric("venus_db_transaction_seconds_count", service="kit", operation="take_one")

    async def take_one(tx: Drawer, pool: int) -> None:
        await tx.take(pool, 1)

    async with opened(drawer_url) as database:
        await database.run(partial(take_one, pool=1))
    assert metric("venus_db_transaction_seconds_count", service="kit", operation="take_one") == before + 1
    assert metric("venus_db_connections_in_use", service="kit") == 0


async def test_a_caller_that_goes_away_leaves_the_pool_whole(drawer_url: str) -> None:
    async with opened(drawer_url, max_size=1) as database:
        for _ in range(3):
            task = asyncio.create_task(database.run(Drawer.sleep, 5.0))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await database.run(Drawer.grams, 1) == 1000
