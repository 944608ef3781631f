"""What a process is told at boot: read once from the environment, frozen, printed masked."""

import re
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

_HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"password|secret|token|credential")


class ProcessSettings(BaseSettings):
    """What every process is told; a bind address is host:port, port 0 takes a free one."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="VENUS_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    grpc_bind: str = "127.0.0.1:0"
    metrics_bind: str = "127.0.0.1:0"
    service_key_file: Path
    service_jwks_file: Path
    environment: str = "local"
    drain_s: float = Field(default=0.0, ge=0.0)
    """How long a service that ends says NOT_SERVING before it refuses calls: what a load balancer needs to notice."""
    grace_s: float = Field(default=10.0, ge=0.0)
    """How long calls in flight may take to finish at the end."""
    trace_ratio: float = Field(default=0.1, ge=0.0, le=1.0)
    otlp_endpoint: str = Field(default="", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    sentry_dsn: str = Field(default="", validation_alias="SENTRY_DSN", repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment; raises pydantic's ValidationError, which names what is missing."""
        return cls.model_validate({})

    def masked(self) -> dict[str, object]:
        """Every setting for the boot log, without passwords, keys or tokens."""
        return {name: _mask(name, getattr(self, name)) for name in sorted(type(self).model_fields)}


class ServiceSettings(ProcessSettings):
    """What a service with a database of its own is told."""

    database_url: str = Field(repr=False)
    isolation: Isolation = "read_committed"


def _mask(name: str, value: object) -> object:
    if isinstance(value, SecretStr) or _SECRET_NAME.search(name):
        return _HIDDEN if value else ""
    if isinstance(value, str):
        return _mask_url(value)
    if isinstance(value, (bool, int, float, type(None))):
        return value
    return str(value)


def _mask_url(text: str) -> str:
    """Hide what stands before the host: a Sentry DSN's key is its user name, so without a password that goes too."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{user}:{_HIDDEN}" if colon else _HIDDEN
    query = _HIDDEN if "password" in parts.query.lower() else parts.query
    return urlunsplit(parts._replace(netloc=shown + at + host if at else host, query=query))
