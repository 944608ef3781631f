import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from deploy.local.startup import StartFailed
from deploy.local.supervisor import Program, Supervisor

# Ready once its file is there; writes down its start and its end.
STEADY = """
import pathlib, signal, sys, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def tell(what):
    with (folder / "diary").open("a") as diary:
        diary.write(f"{what} {name}\\n")
def end(*_):
    time.sleep(0.05)
    tell("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
tell("began")
time.sleep(0.1)
(folder / f"{name}.ready").touch()
while True:
    time.sleep(60)
"""
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
DOOMED = "import sys; print('reading settings', flush=True); sys.exit('no database at port 1')"
SUPERVISOR_ALONE = """
import asyncio, pathlib, sys
from deploy.local.supervisor import Program, Supervisor
async def ready(): return True
async def main():
    supervisor = Supervisor(pathlib.Path(sys.argv[1]), lambda *_: None)
    await supervisor.start([Program("sleeper", ["sleep", "60"], {"PATH": "/usr/bin:/bin"}, ready)])
    print(supervisor.pid("sleeper"), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


class Told:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, seconds: float) -> None:
        self.texts.append(text)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def supervisor(tmp_path: Path, told: Told) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "log", told)
    yield supervisor
    await supervisor.stop()


def steady(folder: Path, name: str, *needs: str) -> Program:
    ready = partial(asyncio.to_thread, (folder / f"{name}.ready").exists)
    command = [sys.executable, "-I", "-S", "-c", STEADY, str(folder), name]
    return Program(name, command, os.environ, ready, frozenset(needs))


def diary(folder: Path) -> list[str]:
    return (folder / "diary").read_text().splitlines()


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up_at, "it never happened"
        await asyncio.sleep(0.02)


async def test_who_is_needed_is_ready_first_and_ends_last(tmp_path: Path, supervisor: Supervisor, told: Told) -> None:
    await supervisor.start(
        [
            steady(tmp_path, "gateway", "orchestrator"),
            steady(tmp_path, "orchestrator", "sales"),
            steady(tmp_path, "sales"),
        ]
    )
    assert told.texts == ["sales", "orchestrator", "gateway"]
    pids = [supervisor.pid(name) for name in told.texts]

    await supervisor.stop()

    assert diary(tmp_path) == [
        *("began sales", "began orchestrator", "began gateway"),
        *("ended gateway", "ended orchestrator", "ended sales"),
    ]
    assert not any(lives(pid) for pid in pids)


async def test_neighbours_start_side_by_side(tmp_path: Path, supervisor: Supervisor) -> None:
    await supervisor.start([steady(tmp_path, "inventory"), steady(tmp_path, "sales"), steady(tmp_path, "ledger")])
    assert sorted(diary(tmp_path)) == ["began inventory", "began ledger", "began sales"]


async def test_a_program_that_is_killed_comes_back_under_a_new_pid(
    tmp_path: Path, supervisor: Supervisor, told: Told
) -> None:
    await supervisor.start([steady(tmp_path, "sales")])
    changes: list[int] = []
    supervisor.changed = lambda: changes.append(supervisor.pid("sales"))
    first = supervisor.pid("sales")
    (tmp_path / "sales.ready").unlink()

    os.kill(first, signal.SIGKILL)

    await until(lambda: bool(changes))
    assert changes == [supervisor.pid("sales")] != [first]
    assert lives(changes[0])
    assert told.texts[1].startswith("sales ended with SIGKILL")


async def test_a_program_that_keeps_dying_is_started_at_growing_intervals(
    tmp_path: Path, supervisor: Supervisor, told: Told
) -> None:
    async def ready() -> bool:
        return True

    await supervisor.start([Program("brief", [sys.executable, "-I", "-S", "-c", "pass"], os.environ, ready)])
    await until(lambda: sum(text.startswith("brief ended") for text in told.texts) >= 3)
    pauses = [text.rpartition(" again in ")[2] for text in told.texts if text.startswith("brief ended")]
    assert pauses[:3] == ["0.25 s", "0.5 s", "1 s"]


async def test_a_program_that_cannot_start_says_why_and_takes_nobody_with_it(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async def never() -> bool:
        return False

    doomed = Program("ledger", [sys.executable, "-I", "-S", "-c", DOOMED], os.environ, never)
    with pytest.raises(StartFailed, match="ledger ended with exit code 1 before it was ready") as failure:
        await supervisor.start([steady(tmp_path, "sales"), doomed, steady(tmp_path, "gateway", "ledger")])
    assert str(failure.value).splitlines()[1:] == ["    reading settings", "    no database at port 1"]
    assert supervisor.pid("gateway") == 0


async def test_a_program_that_is_not_ready_in_time_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    async def never() -> bool:
        return False

    slow = Program("slow", [sys.executable, "-I", "-S", "-c", STUBBORN], os.environ, never, ready_within_s=0.3)
    with pytest.raises(StartFailed, match=r"slow was not ready within 0\.3 s"):
        await supervisor.start([slow])
    assert not lives(supervisor.pid("slow"))


async def test_a_program_that_ignores_sigterm_is_killed_after_its_time(tmp_path: Path, supervisor: Supervisor) -> None:
    async def said_up() -> bool:
        log = tmp_path / "log" / "stubborn.log"
        return log.exists() and "up" in log.read_text()

    command = [sys.executable, "-I", "-S", "-c", STUBBORN]
    await supervisor.start([Program("stubborn", command, os.environ, said_up, drain_s=0.3)])
    pid = supervisor.pid("stubborn")
    begun = time.monotonic()

    await supervisor.stop()

    assert 0.3 <= time.monotonic() - begun < 5.0
    assert not lives(pid)


async def test_the_log_of_the_run_before_is_kept_once(tmp_path: Path, told: Told) -> None:
    async def ready() -> bool:
        return True

    for word in ("first", "second"):
        supervisor = Supervisor(tmp_path, told)
        await supervisor.start([Program("talker", ["sh", "-c", f"echo {word}; exec sleep 60"], os.environ, ready)])
        await until(lambda: bool((tmp_path / "talker.log").read_text()))
        await supervisor.stop()
    assert (tmp_path / "talker.log").read_text() == "second\n"
    assert (tmp_path / "talker.log.old").read_text() == "first\n"


async def test_programs_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR_ALONE, str(tmp_path)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    await until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"))

    process.kill()
    await process.wait()

    await until(lambda: not lives(pid))
