"""What the orchestrator is told at boot."""

from venus_kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Where the participants are, and how much, how long, how often."""

    inventory_target: str
    sales_target: str
    ledger_target: str
    saga_ttl_s: float = 120.0
    lease_s: float = 10.0
    rescue_every_s: float = 0.25
    patience_s: float = 10.0
    """How long a caller waits that does not say."""
    cohorts: int = 2
    waiting: int = 2_000
