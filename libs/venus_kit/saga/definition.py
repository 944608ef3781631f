"""A saga is a table: what is done, how it is undone, and where the point of no return lies."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from venus_kit.saga.outcome import Outcome

Verb = Callable[[Any, Sequence[Any]], Awaitable[list[Outcome]]]
"""`async def verb(call, runs) -> outcomes`: one batch RPC for many sagas, outcomes in their order."""

Condition = Callable[[Any], bool]
"""Decides on the frozen payload alone, so that every owner decides alike."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step before the pivot, with its undo."""

    name: str
    do: Verb
    undo: Verb
    when: Condition | None


@dataclass(frozen=True, slots=True)
class Pivot:
    """The point of no return. `close` makes it impossible for good, or tells that it happened (Done with its facts)."""

    name: str
    do: Verb
    close: Verb


@dataclass(frozen=True, slots=True)
class Finish:
    """What follows the pivot, never refuses, and is repeated until it is done."""

    name: str
    do: Verb
    when: Condition | None


def step(name: str, do: Verb, *, undo: Verb, when: Condition | None = None) -> Step:
    """A step that can be undone; skipped, forth and back, where `when` says so of the payload."""
    return Step(name, do, undo, when)


def pivot(name: str, do: Verb, *, close: Verb) -> Pivot:
    """The point of no return, and how it is closed before anything is undone."""
    return Pivot(name, do, close)


def finish(name: str, do: Verb, *, when: Condition | None = None) -> Finish:
    """A step after the pivot; the finishes of a saga run side by side."""
    return Finish(name, do, when)


@dataclass(frozen=True, slots=True)
class Saga:
    """One kind of saga in one version. Raises ValueError when its steps cannot keep the promise."""

    type: str
    version: int
    quote: Verb
    """No effect; what it answers is frozen into the payload at begin, its refusal ends the saga before it began."""
    steps: tuple[Step | Pivot | Finish, ...]

    def __post_init__(self) -> None:
        """Refuse a table that is out of order."""
        kinds = [type(part) for part in self.steps]
        if kinds.count(Pivot) != 1:
            raise ValueError(f"saga {self.type}: exactly one pivot, not {kinds.count(Pivot)}")
        at = kinds.index(Pivot)
        if any(kind is not Step for kind in kinds[:at]) or any(kind is not Finish for kind in kinds[at + 1 :]):
            raise ValueError(f"saga {self.type}: steps stand before the pivot, finishes after it")
        names = [part.name for part in self.steps]
        if len(set(names)) != len(names):
            raise ValueError(f"saga {self.type}: two steps have one name")

    @property
    def before(self) -> tuple[Step, ...]:
        """The steps before the pivot, in order."""
        return tuple(part for part in self.steps if isinstance(part, Step))

    @property
    def pivot(self) -> Pivot:
        """The point of no return."""
        return next(part for part in self.steps if isinstance(part, Pivot))

    @property
    def finishes(self) -> tuple[Finish, ...]:
        """What follows the pivot."""
        return tuple(part for part in self.steps if isinstance(part, Finish))
