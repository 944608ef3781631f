"""Where a race was run: figures of two machines, or of two hours, cannot be compared."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """`load_1m` is what else it had to do when the race began."""

    processor: str
    cores: int
    python: str
    load_1m: float


def this_machine() -> Machine:
    """This one, now."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = (line.partition(":")[2].strip() for line in told if line.startswith("model name"))
    processor = next(names, platform.machine())
    return Machine(processor, os.cpu_count() or 0, platform.python_version(), round(os.getloadavg()[0], 2))
