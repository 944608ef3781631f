"""Numbered SQL files, each landed once, in order, in a transaction of its own.

`NNNN_pre_what.sql` lands before the new code starts, `NNNN_post_what.sql` when the old code is gone. A file that has
landed is never edited.

    VENUS_MIGRATOR_URL=postgresql://... python -m venus_kit.migrate services.inventory --phase pre
"""

import argparse
import asyncio
import hashlib
import os
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import asyncpg

if TYPE_CHECKING:
    Session: TypeAlias = asyncpg.Connection[asyncpg.Record]

Phase = Literal["pre", "post", "all"]

_FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+\.sql")
_LOCK_KEY: Final = int.from_bytes(hashlib.sha256(b"venus schema migration").digest()[:8], "big", signed=True)
_LOCK_PATIENCE_S: Final = 120.0
_TRIES: Final = 8
_MARK: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationError(Exception):
    """The schema and the migration files do not fit together."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, its phase, its text."""

    name: str
    phase: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The files of `<package>/migrations`, in order; raises MigrationError for a bad name or a number used twice."""
    found: list[Migration] = []
    numbers: set[str] = set()
    for file in sorted((files(package) / "migrations").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        name = _FILE_NAME.fullmatch(file.name)
        if name is None:
            raise MigrationError(f"{file.name}: want NNNN_pre_what.sql or NNNN_post_what.sql")
        if name["number"] in numbers:
            raise MigrationError(f"{file.name}: the number {name['number']} is used twice")
        numbers.add(name["number"])
        found.append(Migration(file.name, name["phase"], file.read_text(encoding="utf-8")))
    return found


async def migrate(url: str, package: str, phase: Phase = "all", *, lock_timeout_s: float = 5.0) -> list[str]:
    """Land what has not landed yet of `phase`; returns the names that landed now.

    `url` is the migrator's. Several may run at once: they queue. Raises MigrationError when a landed file was edited,
    or when a file would land before an earlier one of the other phase; TimeoutError when another migrator does not end.
    """
    known = migrations_of(package)
    session = await asyncpg.connect(url, server_settings={"application_name": "migrate"})
    try:
        await _lock(session)
        await session.execute("SET client_min_messages = warning")
        await session.execute(_MARK)
        pending = await _pending(session, known, phase)
        for migration in pending:
            await _land(session, migration, lock_timeout_s)
    finally:
        await session.close()
    return [migration.name for migration in pending]


async def _lock(session: "Session") -> None:
    """One migrator at a time; by polling, since a waiting statement would hold back CREATE INDEX CONCURRENTLY."""
    async with asyncio.timeout(_LOCK_PATIENCE_S):
        while not await session.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _pending(session: "Session", known: Sequence[Migration], phase: Phase) -> list[Migration]:
    rows = await session.fetch("SELECT name, checksum FROM schema_migration")
    landed = {cast("str", row["name"]): cast("str", row["checksum"]) for row in rows}
    edited = [m.name for m in known if landed.get(m.name, m.checksum) != m.checksum]
    if edited:
        raise MigrationError(f"edited after it landed: {', '.join(edited)}; write a new file instead")
    missing = [m for m in known if m.name not in landed]
    pending = [m for m in missing if phase in ("all", m.phase)]
    for migration in missing:
        if pending and migration not in pending and migration.name < pending[-1].name:
            raise MigrationError(f"{migration.name} must land before {pending[-1].name}; use phase 'all' or finish it")
    return pending


async def _land(session: "Session", migration: Migration, lock_timeout_s: float) -> None:
    """A busy table must not stop behind us: give up soon, let others pass, come again."""
    for left in reversed(range(_TRIES)):
        try:
            async with session.transaction(isolation="read_committed"):
                await session.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}")
                await session.execute(migration.text)
                await session.execute(
                    "INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
                )
        except asyncpg.LockNotAvailableError:
            if not left:
                raise
            await asyncio.sleep(random.uniform(0.5, 1.0) * lock_timeout_s)  # noqa: S311  jitter
        else:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate the package that the command line names, at VENUS_MIGRATOR_URL."""
    parser = argparse.ArgumentParser(prog="python -m venus_kit.migrate", description="Land SQL migrations.")
    parser.add_argument("package", help="such as services.inventory")
    parser.add_argument("--phase", choices=("pre", "post", "all"), default="all")
    asked = parser.parse_args(arguments)
    url = os.environ.get("VENUS_MIGRATOR_URL")
    if not url:
        parser.error("VENUS_MIGRATOR_URL is not set")
    try:
        landed = asyncio.run(migrate(url, cast("str", asked.package), cast("Phase", asked.phase)))
    except MigrationError as error:
        sys.stderr.write(f"{asked.package}: {error}\n")
        return 1
    for name in landed:
        sys.stdout.write(f"{asked.package}: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
