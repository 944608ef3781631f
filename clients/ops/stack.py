"""./venus up and ./venus down."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from deploy.local.home import Home, running_pid
from deploy.local.up import Wanted
from deploy.local.up import up as come_up

_LOOK_EVERY_S: Final = 0.05
_PATIENCE_S: Final = 90.0


def up(argv: Sequence[str]) -> int:
    """Start the suite on this machine; the exit code."""
    parser = argparse.ArgumentParser(prog="venus up", description="Start the suite on this machine and sell something.")
    parser.add_argument("--once", action="store_true", help="stop again after the sale")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    parser.add_argument("--reset", action="store_true", help="forget the data of earlier runs first")
    asked = parser.parse_args(argv)
    wanted = Wanted(once=asked.once, as_json=asked.json, reset=asked.reset)
    return asyncio.run(come_up(Home.of_environment(), wanted))


def down(argv: Sequence[str]) -> int:
    """Stop what runs here and wait for its end; the exit code, 0 also when nothing runs."""
    argparse.ArgumentParser(prog="venus down", description="Stop the suite on this machine.").parse_args(argv)
    home = Home.of_environment()
    pid = running_pid(home)
    if pid is None:
        home.description.unlink(missing_ok=True)
        print("nothing is running")
        return 0
    begun = time.monotonic()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while running_pid(home) is not None:
        if time.monotonic() - begun > _PATIENCE_S:
            print(f"venus: pid {pid} has not ended after {_PATIENCE_S:g} s", file=sys.stderr)
            return 1
        time.sleep(_LOOK_EVERY_S)
    print(f"stopped in {time.monotonic() - begun:.1f} s")
    return 0
