"""Runs pgbench and reads its log."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tests.bench import leashed
from tests.bench.figures import Counted

CLIENTS: Final = 32
_MARGIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of the log: when it ended (seconds since the epoch) and how long it took."""

    ended_s: float
    took_us: int


async def pgbench(program: Path, url: str, script: Path, stores: range, *, warm_up_s: float, seconds: float) -> Counted:
    """Run the script on 32 connections; the log and the script lie in one folder. Errors: StackFailed."""
    place = urlsplit(url)
    log = script.with_suffix(".log")
    command = [
        *(program, "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2"),
        *(f"--time={round(warm_up_s + seconds)}", f"--file={script}", "--log", f"--log-prefix={log}"),
        *(f"--define=first_store={stores.start}", f"--define=last_store={stores.stop - 1}"),
        *(f"--host={place.hostname}", f"--port={place.port}", f"--username={place.username}", place.path[1:]),
    ]
    password = {"PGPASSWORD": unquote(place.password or "")}
    said = await leashed.run(
        command, within_s=warm_up_s + seconds + _MARGIN_S, folder=script.parent, environment=password
    )
    if b"number of failed transactions: 0 " not in said:
        raise RuntimeError(f"pgbench: {said.decode(errors='replace')}")
    files = list(log.parent.glob(f"{log.name}.*"))
    transactions = [one for file in files for one in read_log(file.read_text(encoding="ascii").splitlines())]
    for file in files:
        file.unlink()
    return counted(transactions, warm_up_s=warm_up_s, seconds=seconds)


def read_log(lines: Iterable[str]) -> list[Transaction]:
    """Lines of `client transaction microseconds script epoch epoch_microseconds`."""
    found: list[Transaction] = []
    for line in lines:
        _, _, took_us, _, epoch_s, epoch_us = line.split()[:6]
        found.append(Transaction(int(epoch_s) + int(epoch_us) / 1e6, int(took_us)))
    return found


def counted(transactions: list[Transaction], *, warm_up_s: float, seconds: float) -> Counted:
    """What ended after the warm-up, which begins with the first transaction, and within `seconds` from there."""
    began_s = min((one.ended_s - one.took_us / 1e6 for one in transactions), default=0.0) + warm_up_s
    within = [one for one in transactions if began_s <= one.ended_s < began_s + seconds]
    return Counted(
        seconds=seconds,
        counts={"sold": len(within)},
        acknowledged=len(transactions),
        unknown=0,
        latencies_us=[one.took_us for one in within],
        cpu_s={},
    )
