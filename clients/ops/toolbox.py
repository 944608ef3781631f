"""How the development tools are started: from this checkout's .venv, on its code, with no trace left in a home."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Ran:
    """What a tool said, both streams in one, and whether it was content."""

    ok: bool
    output: str


def surroundings() -> Mapping[str, str]:
    """The environment of every tool."""
    paths = (ROOT, ROOT / "libs", ROOT / "gen")
    return {
        **os.environ,
        "PATH": os.pathsep.join((str(BIN), os.environ.get("PATH", os.defpath))),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(ROOT / ".venus" / "cache"),  # buf insists on a cache; a home may not be there
    }


def run(command: Sequence[str | Path], *, more: Mapping[str, str] = MappingProxyType({})) -> Ran:
    """Run a tool to its end in the root of the checkout, without stdin; `more` is added to its environment."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**surroundings(), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Ran(done.returncode == 0, done.stdout)
