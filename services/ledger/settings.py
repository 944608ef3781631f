"""What the ledger is told at boot."""

from venus_kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing beyond what every service is told."""
