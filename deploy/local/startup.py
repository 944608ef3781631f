"""What is said while the stack comes up, and when it does not."""

import asyncio
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

_LAST_LINES: Final = 12
_LINE_LENGTH: Final = 400
_TAIL_BYTES: Final = 64 * 1024


class StackFailed(Exception):
    """The stack cannot come up or go on; the message is for the person at the terminal."""


class StartFailed(StackFailed):
    """One part of the stack did not become ready."""

    def __init__(self, name: str, reason: str, last: Sequence[str]) -> None:
        """`last` are the last lines of its log."""
        super().__init__(f"{name} {reason}" + "".join(f"\n    {line}" for line in last))
        self.name = name
        self.reason = reason


def last_lines(log: Path) -> list[str]:
    """The end of a log, for people: a few lines, long ones cut."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line[:_LINE_LENGTH] for line in lines[-_LAST_LINES:]]


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at once; the first failure ends the others and is raised as it is, once they have ended."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class Step:
    """One thing under way; `detail` is said behind its time."""

    detail: str = ""


class Progress:
    """One line for each thing that was done, with the time it took."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        """Write to `stream`."""
        self._stream = stream

    def say(self, text: str) -> None:
        """A line of its own."""
        print(text, file=self._stream, flush=True)

    def done(self, what: str, seconds: float, detail: str = "") -> None:
        """What was done in how many seconds."""
        self.say(f"  {what:<32} {seconds:7.2f} s   {detail}".rstrip())

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Time the body and say so when it has come through."""
        begun = time.monotonic()
        step = Step()
        yield step
        self.done(what, time.monotonic() - begun, step.detail)
