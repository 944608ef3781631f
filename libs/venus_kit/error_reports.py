"""Reports of bugs to Sentry, without what they say of people."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import sentry_sdk

from venus_kit.log_lines import without_row

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_FLUSH_S: Final = 0.4
_HIDDEN: Final = "[hidden]"
_PERSONAL_KEY: Final = re.compile(
    r"name$|phone|mobile|email|address|token|authorization|assertion|cookie|password|secret|body|payload|^data$",
    re.IGNORECASE,
)
_OURS: Final = frozenset({"server_name", "module", "filename", "function", "service_name", "thread_name"})
_PHONE: Final = re.compile(r"\+?\d[\d -]{8,}\d")
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s@]+@")
_KEPT_WHOLE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT.*")


def start(dsn: str, service: str, environment: str) -> None:
    """Send from now on; nothing is instrumented by itself, and no local variables or bodies are read."""
    sentry_sdk.init(
        dsn,
        server_name=service,
        environment=environment,
        # `send_default_pii` stays unset: that means no, keeps the library's own scrubber, and naming it is deprecated.
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        default_integrations=False,
        auto_enabling_integrations=False,
        before_send=scrub,
        shutdown_timeout=_FLUSH_S,
    )


def send(error: BaseException, tags: Mapping[str, str]) -> None:
    """Hand one error to the sender's own thread."""
    with sentry_sdk.new_scope() as scope:
        for key, value in tags.items():
            scope.set_tag(key, value)
        scope.capture_exception(error)


def flush() -> None:
    """Wait a moment for what is on its way."""
    if sentry_sdk.is_initialized():
        sentry_sdk.flush(_FLUSH_S)


def scrub(event: "Event", hint: "Hint") -> "Event | None":
    """Take people, credentials and request bodies out of an event."""
    del hint
    event.pop("request", None)
    event.pop("user", None)
    return cast("Event", {key: value if key == "sdk" else _scrubbed(key, value) for key, value in event.items()})


def _scrubbed(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _scrubbed(str(k), v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(key, v) for v in cast("list[object]", value)]
    if isinstance(value, str):
        if key not in _OURS and _PERSONAL_KEY.search(key):
            return _HIDDEN
        return value if _KEPT_WHOLE.fullmatch(value) else scrub_text(value)
    return value


def scrub_text(text: str) -> str:
    """A text without phone numbers, tokens, credentials in URLs, and the values that a database error quotes."""
    text = _CREDENTIALS.sub("", without_row(text))
    return _PHONE.sub(_HIDDEN, _JWT.sub(_HIDDEN, text))
