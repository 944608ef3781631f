"""./venus bench: the suite against what one would write instead, on this machine."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from asyncpg import PostgresError
from grpc.aio import AioRpcError

from deploy.local.footing import LocalServerError
from deploy.local.startup import Progress, StackFailed
from tests.bench.figures import MONOLITH, PGBENCH, Run, latency_ratios, throughput_ratios
from tests.bench.race import Course, Outcome, race

_INTERRUPTED: Final = 130
_EXPECTED: Final = (StackFailed, LocalServerError, PostgresError, AioRpcError, AssertionError, OSError, TimeoutError)
_HEAD: Final = "  round  tills  contender    sales/s   p50 ms   p99 ms  refused  failed  CPU ms a sale"


def bench(argv: Sequence[str]) -> int:
    """Race the suite against the monolith and pgbench; the exit code, 1 when the books do not add up after it."""
    asked = _parser().parse_args(argv)
    course = Course(asked.stores, asked.seconds, asked.tills, asked.rounds, asked.trace_ratio)
    progress = Progress(sys.stderr)
    try:
        outcome = asyncio.run(_until_told_to_stop(course, progress))
    except asyncio.CancelledError:
        return _INTERRUPTED
    except _EXPECTED as failure:
        print(f"venus: {failure or type(failure).__name__}", file=sys.stderr)
        return 1
    print(json.dumps(as_json(course, outcome), indent=2) if asked.json else as_text(outcome))
    return 0


async def _until_told_to_stop(course: Course, progress: Progress) -> Outcome:
    running = asyncio.ensure_future(race(course, progress, lambda run: progress.say(_line(run))))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    return await running


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="venus bench", description="Race the suite against a monolith and against bare SQL."
    )
    parser.add_argument("--stores", type=_whole(1, 1_000), default=100, help="stores that sell (100)")
    parser.add_argument("--seconds", type=_whole(1, 120), default=5, help="how long each run counts (5)")
    parser.add_argument("--tills", type=_tills, default=[1, 16, 64, 256], help="how many sell at once (1,16,64,256)")
    parser.add_argument("--rounds", type=_whole(1, 20), default=1, help="how often all of it; ratios are medians (1)")
    parser.add_argument("--trace-ratio", type=float, default=0.1, help="share of traces kept, by all alike (0.1)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    return parser


def _whole(least: int, most: int) -> Any:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    return read


def _tills(text: str) -> list[int]:
    return sorted({int(_whole(1, 1_024)(part)) for part in text.split(",")})


def as_json(course: Course, outcome: Outcome) -> dict[str, Any]:
    """The race for machines."""
    return {
        "machine": asdict(outcome.machine),
        "course": asdict(course),
        "runs": [_run_as_json(run) for run in outcome.runs],
        "ratios": throughput_ratios(outcome.runs),
        "p50_ratios": {MONOLITH: latency_ratios(outcome.runs)},
        "invariants": "hold",
    }


def _run_as_json(run: Run) -> dict[str, Any]:
    rounded = {name: round(ms, 3) for name, ms in sorted(run.cpu_ms.items())}
    return {
        **{name: value for name, value in asdict(run).items() if name not in ("cpu_ms", "own")},
        **{name: round(float(getattr(run, name)), 2) for name in ("sales_per_s", "p50_ms", "p99_ms")},
        "cpu_ms_per_sale": {"total": round(run.own_cpu_ms, 3), "by_process": rounded},
    }


def as_text(outcome: Outcome) -> str:
    """The race for people."""
    machine = outcome.machine
    ratios = throughput_ratios(outcome.runs)
    place = f"{machine.cores} x {machine.processor}, Python {machine.python}, load {machine.load_1m:g} at the start"
    lines = [
        "",
        f"  {place}",
        "",
        _HEAD,
        *map(_line, outcome.runs),
        "",
        "  Venus against                      " + "".join(f"{tills:>7} tills" for tills in ratios[MONOLITH]),
        _ratio_line("the monolith, sales/s", ratios[MONOLITH]),
        _ratio_line("pgbench, sales/s", ratios[PGBENCH]),
        _ratio_line("the monolith, p50", latency_ratios(outcome.runs)),
        "",
        "  The books of all three add up.",
    ]
    return "\n".join(lines)


def _ratio_line(name: str, ratios: Any) -> str:
    return f"    {name:<33}" + "".join(f"{'-' if ratio is None else f'{ratio:.2f}x':>13}" for ratio in ratios.values())


def _line(run: Run) -> str:
    own = sorted(((ms, name) for name, ms in run.cpu_ms.items() if name in run.own), reverse=True)
    parts = ", ".join(f"{name} {ms:.2f}" for ms, name in own)
    return (
        f"  {run.round:>5}  {run.tills:>5}  {run.contender:<10} {run.sales_per_s:>9.1f} {run.p50_ms:>8.1f} "
        f"{run.p99_ms:>8.1f} {run.refused:>8} {run.failed + run.pending:>7}  {run.own_cpu_ms:.2f} ({parts})"
    )
