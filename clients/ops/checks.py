"""What has to hold before a change lands: ./venus lint and ./venus test; ./venus gen beside them."""

import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from clients.ops.contracts import GenerationFailed, breaking_changes, gen, generated, golden_file, stale
from clients.ops.toolbox import BIN, ROOT, Ran, run, surroundings

__all__ = ["gen", "lint", "test"]


def lint(argv: Sequence[str]) -> int:
    """Run every check, or those named, to the end; a failure stops none of the others. Returns the exit code."""
    parser = ArgumentParser(prog="venus lint", description="Check everything but behaviour.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"only these: {', '.join(CHECKS)}")
    wanted: Sequence[str] = parser.parse_args(argv).checks
    unknown = [name for name in wanted if name not in CHECKS]
    if unknown:
        parser.error(f"no such check: {', '.join(unknown)}")
    failed = [name for name, check in CHECKS.items() if (not wanted or name in wanted) and not _passes(name, check)]
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed", flush=True)
    return 1 if failed else 0


def test(argv: Sequence[str]) -> int:
    """Run pytest on two workers; `argv` goes to pytest as it is. Returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", *argv]
    return subprocess.run(command, cwd=ROOT, env=surroundings(), stdin=subprocess.DEVNULL, check=False).returncode


def _passes(name: str, check: Callable[[], Ran]) -> bool:
    begun = time.monotonic()
    ran = check()
    print(f"{'ok  ' if ran.ok else 'FAIL'}  {name:<12} {time.monotonic() - begun:6.1f} s", flush=True)
    if not ran.ok:
        print("".join(f"      {line}\n" for line in ran.output.splitlines()), end="", flush=True)
    return ran.ok


def _generated_code() -> Ran:
    try:
        with generated() as fresh:
            names = stale(fresh)
    except GenerationFailed as failed:
        return Ran(False, str(failed))
    return Ran(not names, "".join(f"gen/{name} is not what ./venus gen makes\n" for name in names))


CHECKS: Final[Mapping[str, Callable[[], Ran]]] = {
    "ruff": partial(run, [BIN / "ruff", "check", "--no-fix", "--quiet"]),
    "format": partial(run, [BIN / "ruff", "format", "--check", "--quiet"]),
    "types": partial(run, [BIN / "basedpyright", "--warnings"]),
    "imports": partial(run, [BIN / "lint-imports", "--no-logo"]),
    "buf-lint": partial(run, [BIN / "buf", "lint"]),
    "buf-format": partial(run, [BIN / "buf", "format", "--diff", "--exit-code", "protos"]),
    "buf-breaking": breaking_changes,
    "gen": _generated_code,
    "rpcs": golden_file,
}
