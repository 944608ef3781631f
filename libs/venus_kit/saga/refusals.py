"""What the runner itself refuses."""

from typing import ClassVar

from venus_kit.errors import Kind, Refusal


class TimedOut(Refusal):
    """It took too long; everything was undone. Ask again under a new id."""

    kind: ClassVar[Kind] = Kind.ABORTED


class ParticipantUnavailable(Refusal):
    """A service that is needed does not answer; nothing was begun. Try again with the same id."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
