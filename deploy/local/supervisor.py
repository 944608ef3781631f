"""Keeps processes running: started in order of readiness, started again when they die, drained in reverse."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.local.startup import StartFailed, last_lines, side_by_side

LEASH: Final = Path(__file__).with_name("leash.py")
_LOOK_EVERY_S: Final = 0.03
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10.0
_STEADY_S: Final = 30.0
"""Who has run so long starts again without a longer pause than the first."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running; it starts once all of `needs` are ready and ends before any of them."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    needs: frozenset[str] = frozenset()
    ready_within_s: float = 60.0
    drain_s: float = 20.0


@dataclass(slots=True)
class _Kept:
    program: Program
    log: Path
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """The programs of one stack.

    Each process gets a session of its own, so that Ctrl-C reaches only the supervisor, and a leash, so that it dies
    with the supervisor whatever kills that.
    """

    def __init__(self, log_folder: Path, tell: Callable[[str, float], None]) -> None:
        """`tell(text, seconds)` hears what happened and how long it took."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a program has a new pid."""
        self._log_folder = log_folder
        self._tell = tell
        self._kept: dict[str, _Kept] = {}

    def pid(self, name: str) -> int:
        """The pid of a program that was started; that of its last process while it is down."""
        process = self._kept[name].process
        return process.pid if process else 0

    async def start(self, programs: Sequence[Program]) -> None:
        """Start all, return once all are ready. Errors: StartFailed for the first that fails; stop() the rest then."""
        self._log_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = [_Kept(program, self._new_log(program.name)) for program in programs]
        self._kept |= {kept.program.name: kept for kept in fresh}
        await side_by_side(*(self._start(kept) for kept in fresh))

    async def stop(self) -> None:
        """End all, each after those that need it; returns when no process is left."""
        keepers = [kept.keeper for kept in self._kept.values() if kept.keeper]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(self._stop(kept) for kept in self._kept.values()))
        self._kept.clear()

    def _new_log(self, name: str) -> Path:
        log = self._log_folder / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.old"))
        return log

    async def _start(self, kept: _Kept) -> None:
        for name in kept.program.needs:
            await self._kept[name].ready.wait()
        await self._launch(kept)
        kept.ready.set()
        self._tell(kept.program.name, time.monotonic() - kept.started_at)
        kept.keeper = asyncio.create_task(self._keep(kept), name=f"keep {kept.program.name}")

    async def _launch(self, kept: _Kept) -> None:
        """Spawn the process and wait until it is ready; one that is not in time is killed."""
        program = kept.program
        kept.started_at = time.monotonic()
        with kept.log.open("ab") as log:
            kept.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid())),
                *program.command,
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not await program.ready():
            if kept.process.returncode is not None:
                reason = f"ended with {_named(kept.process.returncode)} before it was ready"
                raise StartFailed(program.name, reason, last_lines(kept.log))
            if time.monotonic() - kept.started_at > program.ready_within_s:
                _signal(kept.process, signal.SIGKILL)
                await kept.process.wait()
                reason = f"was not ready within {program.ready_within_s:g} s"
                raise StartFailed(program.name, reason, last_lines(kept.log))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _keep(self, kept: _Kept) -> None:
        """Start the process again whenever it ends, after a pause that doubles until it has run steadily."""
        pause_s = _FIRST_PAUSE_S
        while kept.process is not None:
            code = await kept.process.wait()
            if time.monotonic() - kept.started_at > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            name = kept.program.name
            self._tell(f"{name} ended with {_named(code)}, again in {pause_s:g} s", time.monotonic() - kept.started_at)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._launch(kept)
            except StartFailed as failure:
                self._tell(f"{name} {failure.reason}", time.monotonic() - kept.started_at)
                continue
            self._tell(f"{name} again", time.monotonic() - kept.started_at)
            self.changed()

    async def _stop(self, kept: _Kept) -> None:
        for other in self._kept.values():
            if kept.program.name in other.program.needs:
                await other.ended.wait()
        try:
            if kept.process is not None and kept.process.returncode is None:
                await _end(kept.process, kept.program.drain_s)
        finally:
            kept.ended.set()


async def _end(process: asyncio.subprocess.Process, drain_s: float) -> None:
    _signal(process, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), drain_s)
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
        process.send_signal(number)


def _named(code: int) -> str:
    """An exit code as people say it."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name
