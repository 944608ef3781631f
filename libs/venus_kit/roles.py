"""One database and two roles per service: one that owns the schema, one that runs with no more than it was granted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import asyncpg

if TYPE_CHECKING:
    from typing import TypeAlias

    Session: TypeAlias = asyncpg.Connection[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """How a service reaches its database, and how its migrator does."""

    service: str
    migrator: str


async def create_service(
    superuser_url: str, name: str, service_password: str, migrator_password: str, *, database: str | None = None
) -> ServiceUrls:
    """Make sure that a service's roles and database are there, with these passwords; may be repeated.

    `<name>_migrator` owns the database and what will be in it; `<name>_service` may connect, and then do what the
    migrations grant; nobody else may. `database` is called `name` when not told otherwise.
    """
    database = database or name
    migrator, service = f"{name}_migrator", f"{name}_service"
    session = await asyncpg.connect(superuser_url)
    try:
        for role, password in ((migrator, migrator_password), (service, service_password)):
            await _ensure_role(session, role, password)
        if not await session.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            await session.execute(f'CREATE DATABASE "{database}" OWNER "{migrator}"')
        await open_database(session, database, service)
    finally:
        await session.close()
    session = await asyncpg.connect(with_path(superuser_url, database))
    try:
        await session.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await session.execute(f'GRANT USAGE ON SCHEMA public TO "{service}"')
    finally:
        await session.close()
    return ServiceUrls(
        service=as_role(superuser_url, service, service_password, database),
        migrator=as_role(superuser_url, migrator, migrator_password, database),
    )


async def open_database(session: "Session", database: str, service: str) -> None:
    """Let only its owner and the service connect to a database; a clone inherits none of its template's grants."""
    await session.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    await session.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{service}"')


def as_role(url: str, role: str, password: str, database: str) -> str:
    """The same server's URL for another role and database."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return with_path(parts._replace(netloc=f"{quote(role)}:{quote(password, safe='')}@{host}").geturl(), database)


def with_path(url: str, database: str) -> str:
    """The same URL for another database."""
    return urlsplit(url)._replace(path=f"/{quote(database)}").geturl()


async def _ensure_role(session: "Session", role: str, password: str) -> None:
    if not await session.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await session.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION')
    alter = await session.fetchval("SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password)
    await session.execute(str(alter))
