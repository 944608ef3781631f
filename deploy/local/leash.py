"""Become a command that dies with its parent: leash.py <pid of the parent> <command> <argument>...

A program of its own, run without site-packages, because the kernel ties the leash to the process that asks for it and a
Python that holds gRPC channels must not run code between fork and exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then run the command in its place."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the leash was on
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the whole point


if __name__ == "__main__":
    main()
