"""The ground that all other tests stand on."""

import asyncpg

from venus_kit.testing import DatabaseUrls, SharedPostgres, database_of


async def test_a_fresh_database_belongs_to_its_migrator_alone(empty_database: DatabaseUrls) -> None:
    session = await asyncpg.connect(empty_database.migrator)
    await session.execute("CREATE TABLE pool (id int)")
    await session.close()


def test_two_databases_of_one_template_do_not_meet(postgres: SharedPostgres) -> None:
    first, second = postgres.fresh("kit"), postgres.fresh("kit")
    assert database_of(first) != database_of(second)
    postgres.drop(first)
    postgres.drop(second)
