"""What the orchestrator itself refuses; everything else its participants do."""

from typing import ClassVar

from venus_kit.errors import Kind, Refusal


class TransactionNotFound(Refusal):
    """There is no such transaction for this caller."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND


class PaymentMethodNotOffered(Refusal):
    """Sales on credit are not offered."""
