"""The race: the suite, the monolith and pgbench in turns, on one machine and one PostgreSQL, then the books."""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from deploy.local.home import ROOT
from deploy.local.programs import SERVICES
from deploy.local.startup import Progress
from tests.bench import checks, leashed
from tests.bench.figures import MONOLITH, PGBENCH, VENUS, Counted, Run, run_of
from tests.bench.machine import Machine, this_machine
from tests.bench.pgbench.driving import CLIENTS, pgbench
from tests.bench.processor_time import cpu_seconds, spent
from tests.bench.stand import Stand, standing
from tests.bench.tills import Shift

WARM_UP_S: Final = 1.0
_MARGIN_S: Final = 60.0
_OWN: Final = {VENUS: (*SERVICES, "postgres"), MONOLITH: (MONOLITH, "postgres"), PGBENCH: ("postgres",)}


@dataclass(frozen=True, slots=True)
class Course:
    """How a race is run."""

    stores: int = 100
    seconds: float = 5.0
    tills: Sequence[int] = (1, 16, 64, 256)
    rounds: int = 1
    trace_ratio: float = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a race came to."""

    machine: Machine
    runs: Sequence[Run]


async def race(course: Course, progress: Progress, tell: Callable[[Run], None]) -> Outcome:
    """Run it all, `tell` each run as it ends.

    Errors: AssertionError when the books do not add up; StackFailed, LocalServerError, PostgresError, OSError.
    """
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="venus-bench-") as folder:
        async with standing(Path(folder), course.stores, course.trace_ratio, progress) as stand:
            runners = _Runners(stand, course)
            runs: list[Run] = []
            for number in range(1, course.rounds + 1):
                async for run in runners.round(number):
                    runs.append(run)
                    tell(run)
            with progress.step("invariants hold"):
                await runners.check()
            return Outcome(machine, runs)


class _Runners:
    """Who runs, and what each has acknowledged so far."""

    def __init__(self, stand: Stand, course: Course) -> None:
        self._stand = stand
        self._course = course
        self._acknowledged: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()

    async def round(self, number: int) -> AsyncIterator[Run]:
        """Every number of tills once, Venus first in odd rounds and second in even ones; pgbench in the middle."""
        order = (VENUS, MONOLITH) if number % 2 else (MONOLITH, VENUS)
        for place, tills in enumerate(self._course.tills):
            for contender in order:
                counted = await self._sell(contender, tills)
                yield self._note(counted, number, contender, tills)
            if place == len(self._course.tills) // 2:
                yield self._note(await self._bare(), number, PGBENCH, CLIENTS)

    async def check(self) -> None:
        """The books of all. Errors: AssertionError."""
        await checks.settled(self._stand.stack.databases)
        await checks.check_suite(self._stand.stack.databases, self._acknowledged[VENUS], self._unknown[VENUS])
        for name in (MONOLITH, PGBENCH):
            await checks.check_peer(name, self._stand.urls[name], self._acknowledged[name], self._unknown[name])

    def _note(self, counted: Counted, number: int, contender: str, tills: int) -> Run:
        self._acknowledged[contender] += counted.acknowledged
        self._unknown[contender] += counted.unknown
        return run_of(counted, round_number=number, contender=contender, tills=tills, own=_OWN[contender])

    async def _calm(self) -> None:
        """The sagas of the last run go on after their answers: they would be on the next one's bill."""
        await checks.settled(self._stand.stack.databases)
        await self._stand.checkpoint()

    async def _sell(self, contender: str, tills: int) -> Counted:
        await self._calm()
        host, port = self._stand.addresses[contender]
        seconds = self._course.seconds
        shift = Shift(host, port, WARM_UP_S, seconds, self._stand.seats(tills), self._stand.pids)
        said = await leashed.run(
            [sys.executable, "-m", "tests.bench.tills"],
            within_s=WARM_UP_S + seconds + _MARGIN_S,
            folder=ROOT,
            stdin=json.dumps(asdict(shift)).encode(),
        )
        return Counted(**json.loads(said))

    async def _bare(self) -> Counted:
        await self._calm()
        stand, seconds = self._stand, self._course.seconds
        before = cpu_seconds(stand.pids)
        counted = await pgbench(
            stand.pgbench, stand.urls[PGBENCH], stand.script, stand.stores, warm_up_s=WARM_UP_S, seconds=seconds
        )
        whole = spent(before, cpu_seconds(stand.pids))
        share = counted.sold / max(1, counted.acknowledged)  # the reading takes in the warm-up
        return replace(counted, cpu_s={name: used * share for name, used in whole.items()})
