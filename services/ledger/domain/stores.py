"""What the ledger knows of a store: a copy, owned by the sales service."""

from dataclasses import dataclass
from enum import StrEnum


class StoreStatus(StrEnum):
    """Whether a store trades."""

    ACTIVE = "ACTIVE"
    MAINTENANCE = "MAINTENANCE"


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store as of `version`; a higher version is newer."""

    store_id: int
    status: StoreStatus
    time_zone: str
    version: int
