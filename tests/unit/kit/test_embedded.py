"""The embedded servers: made, kept, restarted, found again."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import footing
from deploy.local.footing import LocalServerError, find_footing, socket_folder
from deploy.local.postgres import EmbeddedPostgres, find_binaries
from deploy.local.valkey import EmbeddedValkey, find_server
from venus_kit.errors import Weather
from venus_kit.postgres import Connection, Database
from venus_kit.roles import with_path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cluster that is made by the first start and then kept."""
    return tmp_path_factory.mktemp("postgres") / "cluster"


@pytest.fixture
async def server(cluster: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(cluster, durable=False)
    await server.start()
    yield server
    await server.stop("immediate")


async def ask(url: str, text: str) -> object:
    session = await asyncpg.connect(url)
    try:
        return await session.fetchval(text)
    finally:
        await session.close()


async def one(connection: Connection) -> object:
    return await connection.fetchval("SELECT 1")


async def test_a_crashed_server_is_weather_and_its_return_needs_no_help(server: EmbeddedPostgres) -> None:
    await server.create_service("sales", "run", "own")
    port = server.port
    again = EmbeddedPostgres(server.log_file.parent, port=port, durable=False)
    url = server.superuser_url("sales")
    database = await Database.connect(url, lambda connection: connection, name="sales", max_size=4)
    await asyncio.gather(*(database.run(one) for _ in range(4)))
    await server.stop("immediate")
    for _ in range(2):
        with pytest.raises(Weather):
            await database.run(one)
    assert not await database.ready()
    await again.start()
    assert await database.run(one) == 1
    assert await database.ready()
    await database.close()


async def test_data_are_kept_and_a_server_that_was_left_running_is_found(server: EmbeddedPostgres) -> None:
    urls = await server.create_service("sales", "run", "own")
    assert await ask(urls.migrator, "CREATE TABLE receipt AS SELECT 7 AS number; ") is None
    again = EmbeddedPostgres(server.log_file.parent, durable=False)
    await again.start()  # nobody stopped the first
    urls = await again.create_service("sales", "run", "own")
    assert await ask(urls.migrator, "SELECT number FROM receipt") == 7


async def test_a_service_may_only_what_it_was_granted(server: EmbeddedPostgres) -> None:
    sales = await server.create_service("sales", "it's", 'o"wn@/:')
    ledger = await server.create_service("ledger", "run", "own")
    assert await ask(sales.migrator, "SELECT current_user::text") == "sales_migrator"
    for url, text in (
        (sales.service, "CREATE TABLE mine (id int)"),
        (sales.service, "CREATE TEMPORARY TABLE mine (id int)"),
        (sales.migrator, "CREATE ROLE mine"),
        (with_path(ledger.service, "sales"), "SELECT 1"),
        (with_path(ledger.migrator, "sales"), "SELECT 1"),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(url, text)


async def test_passwords_are_asked_for_and_can_be_changed(server: EmbeddedPostgres) -> None:
    old = await server.create_service("sales", "old", "own")
    new = await server.create_service("sales", "new", "own")
    assert await ask(new.service, "SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(old.service, "SELECT 1")
    assert stat.S_IMODE((server.log_file.parent / "superuser.password").stat().st_mode) == 0o600


async def test_a_deep_folder_gets_a_short_way_to_its_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    found = await find_footing(deep)
    place = socket_folder(found)
    assert len(str(place)) < 80
    assert place == socket_folder(found)
    place.rmdir()


async def test_a_server_that_cannot_start_says_why(cluster: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedPostgres(cluster, port=taken.getsockname()[1], durable=False)
        with pytest.raises(LocalServerError, match="could not bind"):
            await server.start()


async def test_a_command_that_fails_tells_what_it_said(tmp_path: Path) -> None:
    found = await find_footing(tmp_path / "place")
    with pytest.raises(LocalServerError, match=r"(?s)sh failed \(3\).*no luck"):
        await found.run("sh", "-c", "echo no luck; exit 3")


def test_a_folder_of_programs_that_holds_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUS_PG_BIN", str(tmp_path))
    with pytest.raises(LocalServerError, match="VENUS_PG_BIN"):
        find_binaries()


def test_a_valkey_of_ones_own_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUS_VALKEY_BIN", "/opt/valkey-server")
    assert find_server() == Path("/opt/valkey-server")


async def test_a_valkey_wants_its_password_and_leaves_nothing_running(tmp_path: Path) -> None:
    first = EmbeddedValkey(tmp_path)
    await first.start()
    assert await first.alive()
    await first.flush()
    second = EmbeddedValkey(tmp_path)
    await second.start()  # nobody stopped the first
    assert await second.alive()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first.port)
    await second.stop()
    assert not await second.alive()
    assert not (tmp_path / "valkey.pid").exists()


def test_programs_that_nobody_can_read_are_copied_with_their_libraries(tmp_path: Path) -> None:
    installed = tmp_path / "private" / "package" / "pginstall"
    (installed / "bin").mkdir(parents=True)
    (installed / "bin" / "postgres").touch()
    (tmp_path / "private" / "package.libs").mkdir()
    (tmp_path / "private").chmod(0o700)
    place = tmp_path / "place"
    place.mkdir()
    ours = footing.Footing(place)
    assert footing.reachable(installed / "bin", ours) == installed / "bin"
    copied = footing.reachable(installed / "bin", footing.Footing(place, user=65534))
    assert (copied / "postgres").exists()
    assert (copied.parents[2] / "package.libs").is_dir()
