"""What the ledger refuses."""

from typing import ClassVar

from venus_kit.errors import Kind, Refusal


class AccountNotFound(Refusal):
    """There is no such account for this caller."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND


class EntryNotFound(Refusal):
    """There is no such entry in this store."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
