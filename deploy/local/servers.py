"""PostgreSQL and Valkey of a local stack, ended with it whatever ends it."""

import asyncio
import ctypes
import os
import sys
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from deploy.local.footing import LocalServerError
from deploy.local.home import Home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.startup import Progress, side_by_side
from deploy.local.valkey import EmbeddedValkey

LAST_WILL: Final = Path(__file__).with_name("last_will.py")
_PR_SET_CHILD_SUBREAPER: Final = 36
_REAP_WITHIN_S: Final = 2.0


class _Server(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers; both know their port once started."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey


def servers_of(home: Home) -> Servers:
    """The servers of this home, not started."""
    return Servers(EmbeddedPostgres(home.postgres), EmbeddedValkey(home.valkey))


async def start_servers(servers: Servers, home: Home, progress: Progress, ending: AsyncExitStack) -> None:
    """Start both; `ending` stops them. Errors: LocalServerError."""
    _adopt_orphans()
    ending.push_async_callback(_reap)
    will = await _open_last_will(ending)
    await side_by_side(
        _start("postgres", servers.postgres, progress, ending), _start("valkey", servers.valkey, progress, ending)
    )
    postmaster = servers.postgres.log_file.with_name("data") / "postmaster.pid"
    will.write(f"SIGINT {postmaster}\nSIGTERM {home.valkey / 'valkey.pid'}\n".encode())  # SIGINT: fast shutdown
    await will.drain()


async def _start(name: str, server: _Server, progress: Progress, ending: AsyncExitStack) -> None:
    starting = asyncio.create_task(server.start())

    async def stop() -> None:
        await asyncio.wait([starting])  # a start that is cut off would leave a server behind that nobody knows
        if starting.exception() is None:
            with suppress(LocalServerError):  # it went down by itself, and there is nothing left to stop
                await server.stop()

    ending.push_async_callback(stop)
    with progress.step(name):
        await asyncio.shield(starting)


def _adopt_orphans() -> None:
    """Make servers that detach themselves our children: in a container there may be nobody else to bury them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def _reap() -> None:
    """Bury what has ended; when this runs no other child is left."""
    give_up_at = time.monotonic() + _REAP_WITHIN_S
    with suppress(ChildProcessError):  # no more children
        while time.monotonic() < give_up_at:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):  # noqa: ASYNC222 - it does not wait
                await asyncio.sleep(0.01)


async def _open_last_will(ending: AsyncExitStack) -> asyncio.StreamWriter:
    will = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(LAST_WILL)), stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    if will.stdin is None:
        raise LocalServerError("no pipe to the last will")

    async def tear_up() -> None:
        will.kill()
        await will.wait()

    ending.push_async_callback(tear_up)
    return will.stdin
