"""Where an embedded server may stand: its folder, and the user that it runs as.

PostgreSQL refuses to run as root. As root it gets a user namespace of its own, which needs no account and no chown
and works in a folder that only root can enter; where namespaces are forbidden it runs as nobody, in a folder that
nobody can reach.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOBODY: Final = 65534
_NAMESPACE: Final = ("unshare", "-U", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
_COMMAND_TIMEOUT_S: Final = 120.0
_LONGEST_SOCKET_FOLDER: Final = 80  # the kernel takes 107 bytes, with the file's name


class LocalServerError(Exception):
    """A server of the local stack could not be started or stopped; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Footing:
    """What commands are prefixed with, whom they run as (None: ourselves), and the folder that they may write."""

    folder: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None

    async def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run a command to its end; its output. Raises LocalServerError when it fails or takes over two minutes."""
        words = [*self.prefix, *map(str, command)]
        with tempfile.TemporaryFile() as output:  # a pipe would stay open in a server that the command leaves behind
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
                env=clean_environment() if env is None else env,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
            try:
                async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                    code = await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
                code = -signal.SIGKILL
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if code:
            raise LocalServerError(f"{Path(str(command[0])).name} failed ({code}):\n{said}")
        return said

    def own(self, path: Path) -> None:
        """Hand a file or folder to the user that commands run as."""
        if self.user is not None:
            os.chown(path, self.user, self.user)


async def find_footing(folder: Path) -> Footing:
    """The best footing for `folder`, which is made (0700) when missing."""
    _private_folder(folder)
    if os.geteuid() != 0:
        return Footing(folder)
    namespace = Footing(folder, prefix=_NAMESPACE)
    with suppress(LocalServerError, OSError):
        await namespace.run("true")
        return namespace
    return _as_nobody(folder)


def _as_nobody(folder: Path) -> Footing:
    """A folder that nobody can reach; where ours is not, one beside it in the world's own, found again by name."""
    place = folder
    if not _open_to_all(folder.parent):
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        place = Path("/var/tmp") / f"venus-{digest}"  # noqa: S108  made 0700 and checked to be ours
        _private_folder(place, owners=(0, _NOBODY))
    os.chown(place, _NOBODY, _NOBODY)
    return Footing(place, user=_NOBODY)


def reachable(binaries: Path, footing: Footing) -> Path:
    """The folder of a server's programs, copied where the footing's user can read it when it cannot."""
    if footing.user is None or _open_to_all(binaries):
        return binaries
    installed = binaries.parent
    package = installed.parent
    copies = footing.folder / "programs"
    if not copies.is_dir():
        unfinished = footing.folder / "programs.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(installed, unfinished / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():  # a wheel keeps what its programs are linked with beside the package
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.rename(copies)
    return copies / package.name / installed.name / binaries.name


def _open_to_all(folder: Path) -> bool:
    path = folder.resolve()
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _private_folder(folder: Path, owners: Sequence[int] = ()) -> None:
    """Make the folder for us alone; raises LocalServerError when another user put it there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid not in (os.geteuid(), *owners):
        raise LocalServerError(f"{folder} belongs to someone else")


def socket_folder(footing: Footing) -> Path:
    """A folder whose path is short enough for a unix socket; the same for the same footing."""
    inside = footing.folder / "socket"
    place = inside
    if len(os.fsencode(inside)) > _LONGEST_SOCKET_FOLDER:
        digest = hashlib.sha256(os.fsencode(inside.resolve())).hexdigest()[:12]
        place = Path(tempfile.gettempdir()) / f"venus-{os.geteuid()}-{digest}"
    _private_folder(place, owners=(_NOBODY,) if footing.user is not None else ())
    footing.own(place)
    return place


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """Our environment without what would steer a database's programs elsewhere; plain English messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C.UTF-8"}
