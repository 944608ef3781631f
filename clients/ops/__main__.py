"""./venus COMMAND: what people do with the suite on their own machine."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

_INTERRUPTED: Final = 130

Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the module that holds it under its own name, and what it is for."""

    module: str
    purpose: str


COMMANDS: Final[Mapping[str, Command]] = {
    "up": Command("clients.ops.stack", "start the suite on this machine and sell something"),
    "down": Command("clients.ops.stack", "stop it from another terminal"),
    "token": Command("clients.ops.token", "print a token for a made-up person"),
    "trace": Command("clients.ops.trace", "show a trace as a waterfall"),
    "bench": Command("clients.ops.bench", "race the suite against a monolith and against bare SQL"),
    "test": Command("clients.ops.checks", "run the tests"),
    "lint": Command("clients.ops.checks", "check everything but behaviour"),
    "gen": Command("clients.ops.checks", "generate code from the protos"),
}


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code."""
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"venus: no such command: {name}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        run = cast(
            "Run", getattr(import_module(COMMANDS[name].module), name)
        )  # only what it needs: the others are slow
        return run(argv[1:])
    except KeyboardInterrupt:
        return _INTERRUPTED


def usage() -> str:
    """What commands there are."""
    lines = [f"  {name:<8}{command.purpose}" for name, command in COMMANDS.items()]
    return "\n".join(("usage: ./venus COMMAND [--help]", "", *lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
