"""What the gateway is told at boot."""

from pathlib import Path
from typing import Final

from pydantic import Field

from services.gateway.gathering import GatherLimits
from services.gateway.limits import Limits
from venus_kit.settings import ProcessSettings

_DEFAULT: Final = Limits()
_GATHER_DEFAULT: Final = GatherLimits()


class Settings(ProcessSettings):
    """Targets are host:port; they need not be up when the gateway starts."""

    http_bind: str = "127.0.0.1:0"
    issuers_file: Path
    """Whose tokens are believed."""
    inventory_target: str
    sales_target: str
    ledger_target: str
    orchestrator_target: str

    patience_s: float = Field(default=_DEFAULT.default_patience_s, gt=0.0)
    """How long a caller waits who does not say so in `X-Request-Timeout`."""
    longest_patience_s: float = Field(default=_DEFAULT.longest_patience_s, gt=0.0)
    body_bytes: int = Field(default=_DEFAULT.body_bytes, gt=0)
    body_s: float = Field(default=_DEFAULT.body_s, gt=0.0)
    slow_s: float = Field(default=2.0, gt=0.0)
    """An answer that took longer is logged."""
    gather_slots: int = Field(default=_GATHER_DEFAULT.slots, gt=0)
    """Batches of gathered calls that have not begun to be answered yet."""
    gather_hold_s: float = Field(default=_GATHER_DEFAULT.hold_s, gt=0.0)

    def limits(self) -> Limits:
        """The bounds of one request."""
        return Limits(
            body_bytes=self.body_bytes,
            body_s=self.body_s,
            default_patience_s=self.patience_s,
            longest_patience_s=self.longest_patience_s,
        )

    def gathering(self) -> GatherLimits:
        """How calls are gathered."""
        return GatherLimits(slots=self.gather_slots, hold_s=self.gather_hold_s)
