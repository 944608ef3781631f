"""What the stock book refuses; the first line of a docstring is what the caller is told."""

from typing import ClassVar

from venus_kit.errors import Kind, Refusal


class InsufficientStock(Refusal):
    """There is less available than wanted."""


class ReservationReleased(Refusal):
    """The reservation was given back, for good."""


class ReservationCommitted(Refusal):
    """The reservation was committed; its goods are gone."""


class ReservationNotYours(Refusal):
    """Another service made this reservation; only that service may end it."""


class ReservationNotFound(Refusal):
    """There is no such reservation in this store."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND


class PoolNotOpen(Refusal):
    """The store has no such pool yet."""


class PoolAlreadyOpen(Refusal):
    """The pool was opened before."""


class CountDuringSale(Refusal):
    """Stock of this pool is held; its goods may have left the shelf already."""


class CountStale(Refusal):
    """The pool moved since it was counted."""


class ReasonNotAllowed(Refusal):
    """The reason does not fit this change."""
