"""What a step may come to: done, refused for good, or unknown. Unknown is never treated as no."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from venus_kit.errors import Refusal


@dataclass(frozen=True, slots=True)
class Done:
    """It happened, now or before; `facts` are what later steps need of it."""

    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        """For the history."""
        return "done"


@dataclass(frozen=True, slots=True)
class Refused:
    """The business says no, for good."""

    refusal: Refusal

    def __str__(self) -> str:
        """For the history."""
        return f"refused {self.refusal.reason}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Time-out, lost reply, an error inside: it may have happened. Repeat with the same ids."""

    error: str
    down: bool = False
    """The participant did not answer at all: waiting it out uses up no attempts."""

    def __str__(self) -> str:
        """For the history."""
        return f"unknown: {self.error}"


Outcome = Done | Refused | Unknown
