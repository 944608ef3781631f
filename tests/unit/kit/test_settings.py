"""Settings: read once, frozen, and never printed with what is secret in them."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from venus_kit.settings import ServiceSettings


class TillSettings(ServiceSettings):
    admin_token: str = ""
    vault: SecretStr = SecretStr("")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("VENUS_DATABASE_URL", "postgresql://sales_service:hunter2@db:5432/sales")
    monkeypatch.setenv("VENUS_SERVICE_KEY_FILE", "/run/keys/sales.pem")
    monkeypatch.setenv("VENUS_SERVICE_JWKS_FILE", "/run/keys/services.jwks.json")
    monkeypatch.setenv("SENTRY_DSN", "https://publickey@errors.example/7")
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    environment.setenv("VENUS_TRACE_RATIO", "0.25")
    settings = ServiceSettings.from_environment()
    assert settings.otlp_endpoint == "http://collector:4317"
    assert settings.trace_ratio == 0.25
    assert settings.service_key_file == Path("/run/keys/sales.pem")
    assert settings.isolation == "read_committed"


def test_the_boot_log_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("VENUS_ADMIN_TOKEN", "tok-123")
    environment.setenv("VENUS_VAULT", "vault-456")
    settings = TillSettings.from_environment()
    for text in (repr(settings.masked()), repr(settings)):
        assert "hunter2" not in text
        assert "publickey" not in text
        assert "vault-456" not in text
    assert "tok-123" not in repr(settings.masked())
    assert settings.masked()["database_url"] == "postgresql://sales_service:***@db:5432/sales"
    assert settings.masked()["sentry_dsn"] == "https://***@errors.example/7"


@pytest.mark.parametrize(
    "url", ["postgresql:///sales?user=u&password=hunter2", "postgresql://db/sales?PASSWORD=hunter2&sslmode=require"]
)
def test_a_password_in_the_query_of_a_url_is_hidden_too(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("VENUS_DATABASE_URL", url)
    assert "hunter2" not in repr(ServiceSettings.from_environment().masked())


def test_a_missing_setting_is_named_and_the_others_stay_unsaid(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("VENUS_SERVICE_KEY_FILE")
    with pytest.raises(ValidationError, match="service_key_file") as caught:
        ServiceSettings.from_environment()
    assert "hunter2" not in str(caught.value)


def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ServiceSettings.from_environment().isolation = "serializable"  # pyright: ignore[reportAttributeAccessIssue]


def test_an_isolation_that_does_not_exist_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("VENUS_ISOLATION", "read_uncommitted")
    with pytest.raises(ValidationError, match="isolation"):
        ServiceSettings.from_environment()
