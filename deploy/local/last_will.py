"""Ends the servers that a dead supervisor left behind.

PostgreSQL and Valkey detach themselves, so no leash holds them. This process reads lines "SIGNAL pid-file" from its
standard input, which ends when the supervisor does, whatever killed it; then each server gets its signal. After an
orderly end the files are gone and nobody is signalled.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Wait, then send each pid its signal."""
    for line in sys.stdin.read().splitlines():
        name, _, file = line.partition(" ")
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended by itself
            os.kill(int(Path(file).read_text(encoding="utf-8").splitlines()[0]), signal.Signals[name])


if __name__ == "__main__":
    main()
