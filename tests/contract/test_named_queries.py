import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from venus_kit.sql import Queries

SERVICES: Final = Path(__file__).resolve().parents[2] / "services"
NAMES: Final = sorted(folder.parent.name for folder in SERVICES.glob("*/sql"))

every_service = pytest.mark.parametrize("service", NAMES)

DatabaseUrl = Callable[[str], tuple[str, str]]


def test_the_services_with_queries_are_found() -> None:
    assert set(NAMES) >= {"inventory", "ledger", "orchestrator", "sales"}


@every_service
async def test_every_query_can_be_prepared_by_its_service(service: str, database_url: DatabaseUrl) -> None:
    """Names, types and parameters fit the migrated schema, and the service's role has the rights that it needs."""
    wrong: dict[str, str] = {}
    connection = await asyncpg.connect(database_url(service)[0])
    try:
        for name, query in Queries.load(f"services.{service}").items():
            try:
                await connection.prepare(query)
                await connection.execute(f"EXPLAIN (GENERIC_PLAN) {query}")  # PREPARE alone does not look at rights
            except asyncpg.PostgresError as error:
                wrong[name] = str(error)
    finally:
        await connection.close()

    assert wrong == {}


@every_service
def test_no_query_is_left_over(service: str) -> None:
    code = "\n".join(path.read_text() for path in sorted((SERVICES / service).rglob("*.py")))

    assert [name for name in Queries.load(f"services.{service}") if f'"{name}"' not in code] == []


@every_service
def test_every_parameter_says_its_type(service: str) -> None:
    """`$1::uuid[]` somewhere: without it the server guesses what a NULL or an array is meant to be."""
    bare: dict[str, set[str]] = {}
    for name, query in Queries.load(f"services.{service}").items():
        text = re.sub(r"--.*", "", query)
        untyped = set(re.findall(r"\$\d+", text)) - set(re.findall(r"(\$\d+)::", text))
        if untyped:
            bare[name] = untyped

    assert bare == {}
