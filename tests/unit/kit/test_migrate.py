"""Migrations on a real database."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from venus_kit import migrate as migrate_module
from venus_kit.migrate import MigrationError, migrate, migrations_of
from venus_kit.testing import DatabaseUrls

LIBS = Path(migrate_module.__file__).parents[1]
PRE = "CREATE TABLE pool (id int PRIMARY KEY); GRANT SELECT ON pool TO kit_service;"
POST = "ALTER TABLE pool ADD COLUMN grams int NOT NULL DEFAULT 0;"


class Shop:
    """A package on disk with migrations."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = f"shop_{abs(hash(root)):x}"
        self.folder = root / self.package / "migrations"
        self.folder.mkdir(parents=True)
        (self.folder.parent / "__init__.py").touch()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.syspath_prepend(tmp_path)
    return Shop(tmp_path)


async def query(url: str, text: str) -> list[Any]:
    session = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await session.fetch(text)]
    finally:
        await session.close()


async def test_files_land_once_and_in_order(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    shop.write("0002_post_grams.sql", POST)
    assert await migrate(empty_database.migrator, shop.package) == ["0001_pre_pool.sql", "0002_post_grams.sql"]
    assert await migrate(empty_database.migrator, shop.package) == []
    rows = await query(empty_database.migrator, "SELECT name, length(checksum) FROM schema_migration ORDER BY name")
    assert rows == [("0001_pre_pool.sql", 64), ("0002_post_grams.sql", 64)]


async def test_pre_and_post_land_at_their_own_time(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    shop.write("0002_post_grams.sql", POST)
    assert await migrate(empty_database.migrator, shop.package, "pre") == ["0001_pre_pool.sql"]
    assert await migrate(empty_database.migrator, shop.package, "post") == ["0002_post_grams.sql"]


async def test_a_release_is_finished_before_the_next_one_begins(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    shop.write("0002_post_grams.sql", POST)
    shop.write("0003_pre_birds.sql", "ALTER TABLE pool ADD COLUMN birds int;")
    with pytest.raises(MigrationError, match=r"0002_post_grams\.sql must land before 0003_pre_birds\.sql"):
        await migrate(empty_database.migrator, shop.package, "pre")
    assert await query(empty_database.migrator, "SELECT name FROM schema_migration") == []
    assert len(await migrate(empty_database.migrator, shop.package)) == 3


async def test_an_edited_file_is_refused(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    await migrate(empty_database.migrator, shop.package)
    shop.write("0001_pre_pool.sql", PRE + "\n-- a word more")
    shop.write("0002_post_grams.sql", POST)
    with pytest.raises(MigrationError, match=r"edited after it landed: 0001_pre_pool\.sql"):
        await migrate(empty_database.migrator, shop.package)
    assert await query(empty_database.migrator, "SELECT name FROM schema_migration") == [("0001_pre_pool.sql",)]


async def test_a_file_that_fails_leaves_nothing_and_stops_the_rest(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    shop.write("0002_pre_bad.sql", "CREATE TABLE half (id int); SELECT 1/0;")
    shop.write("0003_pre_more.sql", "CREATE TABLE more (id int);")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database.migrator, shop.package)
    tables = await query(
        empty_database.migrator, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname !~ '^pg|sql'"
    )
    assert sorted(tables) == [("pool",), ("schema_migration",)]
    shop.write("0002_pre_bad.sql", "CREATE TABLE half (id int);")
    assert len(await migrate(empty_database.migrator, shop.package)) == 2


async def test_a_file_and_its_mark_land_together_or_not_at_all(shop: Shop, empty_database: DatabaseUrls) -> None:
    mark = "INSERT INTO schema_migration (name, checksum) VALUES ('0001_pre_pool.sql', 'forged');"
    shop.write("0001_pre_pool.sql", PRE + mark)
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(empty_database.migrator, shop.package)
    shop.write("0001_pre_pool.sql", PRE)
    assert await migrate(empty_database.migrator, shop.package) == ["0001_pre_pool.sql"]


async def test_an_older_release_leaves_a_newer_schema_alone(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    shop.write("0002_post_grams.sql", POST)
    await migrate(empty_database.migrator, shop.package)
    (shop.folder / "0002_post_grams.sql").unlink()
    assert await migrate(empty_database.migrator, shop.package) == []


async def test_many_migrators_at_once_land_each_file_once(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE + "SELECT pg_sleep(0.1);")
    landed = await asyncio.gather(*(migrate(empty_database.migrator, shop.package) for _ in range(5)))
    assert sorted(map(len, landed)) == [0, 0, 0, 0, 1]


async def test_a_busy_table_is_not_stopped_behind_the_migration(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    await migrate(empty_database.migrator, shop.package)
    shop.write("0002_post_grams.sql", POST)
    reader = await asyncpg.connect(empty_database.service)
    await reader.execute("BEGIN; SELECT FROM pool")
    landing = asyncio.create_task(migrate(empty_database.migrator, shop.package, lock_timeout_s=0.1))
    await asyncio.sleep(0.4)
    assert not landing.done()
    await reader.execute("COMMIT")
    assert await landing == ["0002_post_grams.sql"]
    await reader.close()


async def test_the_service_cannot_touch_the_record_of_migrations(shop: Shop, empty_database: DatabaseUrls) -> None:
    shop.write("0001_pre_pool.sql", PRE)
    await migrate(empty_database.migrator, shop.package)
    assert await query(empty_database.service, "SELECT count(*) FROM pool") == [(0,)]
    for statement in ("SELECT * FROM schema_migration", "DROP TABLE pool", "CREATE TABLE mine (id int)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(empty_database.service, statement)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["1_pre_pool.sql"], "want NNNN_pre"),
        (["0001_pool.sql"], "want NNNN_pre"),
        (["0001_pre_Pool.sql"], "want NNNN_pre"),
        (["0001_pre_a.sql", "0001_post_b.sql"], "number 0001 is used twice"),
    ],
)
def test_a_file_with_a_bad_name_is_refused(shop: Shop, names: list[str], complaint: str) -> None:
    for name in names:
        shop.write(name, "SELECT 1;")
    with pytest.raises(MigrationError, match=complaint):
        migrations_of(shop.package)


def test_the_command_line_says_what_landed_and_what_is_wrong(shop: Shop, empty_database: DatabaseUrls) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        path = f"{LIBS}{os.pathsep}{shop.root}"
        environment = {**os.environ, "VENUS_MIGRATOR_URL": empty_database.migrator, "PYTHONPATH": path}
        command = [sys.executable, "-m", "venus_kit.migrate", shop.package]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

    shop.write("0001_pre_pool.sql", PRE)
    landed = run()
    assert (landed.returncode, landed.stdout) == (0, f"{shop.package}: 0001_pre_pool.sql\n")
    shop.write("0001_pre_pool.sql", "SELECT 1;")
    edited = run()
    assert edited.returncode == 1
    assert "edited after it landed" in edited.stderr
