"""The three ways in which a thing goes wrong: the business says no, the weather is bad, or we have a bug.

A `Refusal` is an answer. `Weather` passes and may be tried again. `Poison` is one item that breaks whatever
it touches. Anything else that is raised is unexpected and goes to Sentry.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Self, cast

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Kind(StrEnum):
    """What sort of no a refusal is; the names are those of gRPC's codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong, by its path in the request, and what would be right."""

    field: str
    description: str
    reason: str = ""


class Refusal(Exception):
    """The business says no."""

    kind: ClassVar[Kind] = Kind.FAILED_PRECONDITION

    def __init__(
        self, *, violations: Sequence[FieldViolation] = (), retry_after_s: float | None = None, **metadata: str | int
    ) -> None:
        """Refuse with facts; `metadata` keys are snake_case and carry their unit."""
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = {key: str(value) for key, value in metadata.items()}
        super().__init__(self.message)

    @property
    def reason(self) -> str:
        """The fact in upper snake case, such as INSUFFICIENT_STOCK; callers branch on it."""
        return _WORD_START.sub("_", type(self).__name__).upper()

    @property
    def refused_as(self) -> Kind:
        """The kind of this very refusal."""
        return self.kind

    @property
    def message(self) -> str:
        """The first line of the class's docstring."""
        return (type(self).__doc__ or self.reason).strip().partition("\n")[0]

    def __eq__(self, other: object) -> bool:
        """Two refusals are equal when they say the same."""
        return isinstance(other, Refusal) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        """By reason: refusals with equal facts share it."""
        return hash(self.reason)

    def to_json(self) -> dict[str, object]:
        """Everything the caller was told, to be stored and told again."""
        told: dict[str, object] = {"reason": self.reason, "kind": self.refused_as.value, "message": self.message}
        if self.metadata:
            told["metadata"] = self.metadata
        if self.violations:
            told["violations"] = [[v.field, v.description, v.reason] for v in self.violations]
        return told

    @staticmethod
    def from_json(told: Mapping[str, object]) -> "ToldRefusal":
        """The inverse of `to_json`."""
        return ToldRefusal(
            reason=str(told["reason"]),
            kind=Kind(str(told["kind"])),
            message=str(told["message"]),
            metadata=cast("Mapping[str, str]", told.get("metadata", {})),
            violations=[FieldViolation(*v) for v in cast("list[list[str]]", told.get("violations", []))],
        )


class ToldRefusal(Refusal):
    """A refusal that another service told us, word for word."""

    def __init__(
        self,
        *,
        reason: str,
        kind: Kind,
        message: str,
        metadata: Mapping[str, str],
        violations: Sequence[FieldViolation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """Keep what was told."""
        self._reason = reason
        self._kind = kind
        self._message = message
        super().__init__(violations=violations, retry_after_s=retry_after_s, **metadata)

    @property
    def reason(self) -> str:
        """The reason as told."""
        return self._reason

    @property
    def refused_as(self) -> Kind:
        """The kind as told."""
        return self._kind

    @property
    def message(self) -> str:
        """The message as told."""
        return self._message

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle through the JSON form: the constructor takes keywords only."""
        return Refusal.from_json, (self.to_json(),)

    def __copy__(self) -> Self:
        """Refusals are never changed."""
        return self


class InvalidRequest(Refusal):
    """The request breaks its own rules."""

    kind: ClassVar[Kind] = Kind.INVALID_ARGUMENT


class PageTokenInvalid(Refusal):
    """The page token is not of this list with these filters."""

    kind: ClassVar[Kind] = Kind.INVALID_ARGUMENT


class IdempotencyMismatch(Refusal):
    """The id was used before with another content."""

    kind: ClassVar[Kind] = Kind.ALREADY_EXISTS


class NotSignedIn(Refusal):
    """There is no valid credential with the call."""

    kind: ClassVar[Kind] = Kind.UNAUTHENTICATED


class PermissionMissing(Refusal):
    """The caller lacks the permission for this."""

    kind: ClassVar[Kind] = Kind.PERMISSION_DENIED


class StoreNotFound(Refusal):
    """There is no such store for this caller."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND


class TooBusy(Refusal):
    """Too much is waiting already; nothing was begun."""

    kind: ClassVar[Kind] = Kind.RESOURCE_EXHAUSTED


class Weather(Exception):
    """Infrastructure failed in a way that passes: connection lost, lock time-out, database down."""


class Poison(Exception):
    """One item breaks the transaction that it is in; the cause is chained."""
