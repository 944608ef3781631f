"""How much CPU processes have used, read from /proc."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class _Used(NamedTuple):
    """One process: its parent, and the clock ticks of itself and of the children that it has buried."""

    parent: int
    ticks: int


def cpu_seconds(roots: Mapping[str, int], proc: Path = _PROC) -> dict[str, float]:
    """Seconds of CPU by name, each of a process with all that descends from it, the dead included."""
    used = {int(entry.name): found for entry in proc.iterdir() if entry.name.isdigit() if (found := _read(entry))}
    children: dict[int, list[int]] = {}
    for pid, one in used.items():
        children.setdefault(one.parent, []).append(pid)
    per_second = os.sysconf("SC_CLK_TCK")
    return {
        name: sum(used[pid].ticks for pid in _tree(root, children) if pid in used) / per_second
        for name, root in roots.items()
    }


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds between two readings."""
    return {name: after[name] - before[name] for name in before if name in after}


def _read(entry: Path) -> _Used | None:
    try:
        text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has just ended
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return _Used(int(fields[1]), sum(map(int, fields[11:15])))


def _tree(root: int, children: Mapping[int, Iterable[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found
