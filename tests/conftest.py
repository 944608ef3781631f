"""One real PostgreSQL and one real Valkey for the whole run, whatever number of processes it has."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.local.footing import LocalServerError
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from venus_kit import failpoint
from venus_kit.testing import (
    DatabaseUrls,
    ServiceKeys,
    SharedPostgres,
    abandoned_runs,
    in_thread,
    make_service_keys,
    new_run_folder,
    remove_run_folder,
)

SERVICES = ("inventory", "sales", "ledger", "orchestrator", "gateway")
RUN = pytest.StashKey[SharedPostgres]()
FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """The process that leads makes the run's folder; nothing is started before a test wants it."""
    told = getattr(config, "workerinput", None)
    if told is None:
        for run in abandoned_runs():
            with suppress(LocalServerError, OSError):
                _shared(run).stop()
            remove_run_folder(run)
    folder = new_run_folder() if told is None else Path(told["venus_run_folder"])
    config.stash[FOLDER] = folder
    config.stash[RUN] = _shared(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's folder is."""
    node.workerinput["venus_run_folder"] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that leads stops what was started."""
    if hasattr(config, "workerinput") or FOLDER not in config.stash:
        return
    config.stash[RUN].stop()
    remove_run_folder(config.stash[FOLDER])


def _shared(folder: Path) -> SharedPostgres:
    return SharedPostgres(folder, lambda place: EmbeddedPostgres(place, durable=False))


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> SharedPostgres:
    """The run's PostgreSQL."""
    return request.config.stash[RUN]


@pytest.fixture
def database_url(postgres: SharedPostgres) -> Iterator[Callable[[str], DatabaseUrls]]:
    """`database_url("sales")` -> (service_url, migrator_url) of a fresh, migrated database; dropped after the test."""
    made: list[DatabaseUrls] = []

    def fresh(service: str) -> DatabaseUrls:
        urls = postgres.fresh(service, f"services.{service}")
        made.append(urls)
        return urls

    yield fresh
    for urls in made:
        postgres.drop(urls)


@pytest.fixture
def empty_database(postgres: SharedPostgres) -> Iterator[DatabaseUrls]:
    """A fresh database without a table, for tests of the kit."""
    urls = postgres.fresh("kit")
    yield urls
    postgres.drop(urls)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey of this process."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    in_thread(server.start())
    yield server
    in_thread(server.stop())


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The URL of an empty Valkey."""
    in_thread(valkey.flush())
    return valkey.url


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> ServiceKeys:
    """A key pair for each service."""
    return make_service_keys(tmp_path_factory.mktemp("keys"), SERVICES)


@pytest.fixture(autouse=True)
def no_failpoint_left() -> Iterator[None]:
    """What a test armed ends with it."""
    yield
    failpoint.disarm()
