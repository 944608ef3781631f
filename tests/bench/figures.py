"""From what was counted to what is compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

VENUS: Final = "venus"
MONOLITH: Final = "monolith"
PGBENCH: Final = "pgbench"


@dataclass(frozen=True, slots=True)
class Counted:
    """What one run came to: answers within `seconds` by kind, times of the sales, CPU seconds by process.

    `acknowledged` and `unknown` are of the whole run, warm-up and drain included: so many sales the database must hold
    at least, and at most so many more.
    """

    seconds: float
    counts: Mapping[str, int]
    acknowledged: int
    unknown: int
    latencies_us: Sequence[int]
    cpu_s: Mapping[str, float]

    @property
    def sold(self) -> int:
        """Sales that were answered in time to count."""
        return self.counts.get("sold", 0)


@dataclass(frozen=True, slots=True)
class Run:
    """One contender at one number of tills in one round; `cpu_ms` is per sale, by process."""

    round: int
    contender: str
    tills: int
    sales_per_s: float
    p50_ms: float
    p99_ms: float
    refused: int
    pending: int
    failed: int
    cpu_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    own: Sequence[str] = ()
    """The processes that the contender is made of."""

    @property
    def own_cpu_ms(self) -> float:
        """CPU per sale of the contender alone."""
        return sum(ms for name, ms in self.cpu_ms.items() if name in self.own)


def run_of(counted: Counted, *, round_number: int, contender: str, tills: int, own: Sequence[str]) -> Run:
    """The figures of what was counted."""
    times = sorted(counted.latencies_us)
    return Run(
        round=round_number,
        contender=contender,
        tills=tills,
        sales_per_s=counted.sold / counted.seconds,
        p50_ms=percentile(times, 50) / 1000,
        p99_ms=percentile(times, 99) / 1000,
        refused=counted.counts.get("refused", 0),
        pending=counted.counts.get("pending", 0),
        failed=counted.counts.get("failed", 0),
        cpu_ms={name: 1000 * seconds / counted.sold for name, seconds in counted.cpu_s.items()} if counted.sold else {},
        own=own,
    )


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that so many percent do not exceed; 0 of nothing."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0


Ratios = Mapping[str, Mapping[str, float | None]]


def throughput_ratios(runs: Sequence[Run]) -> Ratios:
    """Sales/s of Venus over each peer's, by tills; None where the peer sold nothing."""
    tills = sorted({run.tills for run in runs if run.contender == VENUS})
    return {
        MONOLITH: {str(n): _ratio(runs, MONOLITH, n, n) for n in tills},
        PGBENCH: {str(n): _ratio(runs, PGBENCH, n, None) for n in tills},
    }


def latency_ratios(runs: Sequence[Run]) -> Mapping[str, float | None]:
    """p50 of Venus over the monolith's, by tills."""
    tills = sorted({run.tills for run in runs if run.contender == VENUS})
    return {str(n): _ratio(runs, MONOLITH, n, n, of="p50_ms") for n in tills}


def _ratio(runs: Sequence[Run], peer: str, tills: int, peer_tills: int | None, of: str = "sales_per_s") -> float | None:
    """The median over the rounds, each compared with itself: only what ran side by side can be."""
    ours = _by_round(run for run in runs if run.contender == VENUS and run.tills == tills)
    theirs = _by_round(run for run in runs if run.contender == peer and peer_tills in (None, run.tills))
    found = [
        getattr(run, of) / getattr(theirs[number], of)
        for number, run in ours.items()
        if number in theirs and getattr(theirs[number], of)
    ]
    return round(median(found), 3) if found else None


def _by_round(runs: Iterable[Run]) -> dict[int, Run]:
    return {run.round: run for run in runs}
