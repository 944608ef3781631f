"""What inventory knows of a store: a copy, owned by the sales service."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from venus_kit.errors import FieldViolation, InvalidRequest


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

    def check(self) -> None:
        """Raise InvalidRequest for a time zone that nobody knows: no business date could be told in it."""
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidRequest(
                violations=[
                    FieldViolation("store.time_zone", "an IANA time zone, such as Asia/Kolkata", "TIME_ZONE_UNKNOWN")
                ]
            ) from error

    def business_date(self, at: datetime) -> date:
        """The date in the store's time zone at an aware time."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()
