"""How much of a request the gateway takes: size, depth and time, so that nobody can make it wait or swell."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.refusals import BodyTooLarge, HeadersTooLarge, MediaTypeNotSupported, QueryTooLong, RequestTooSlow
from venus_kit.errors import FieldViolation, InvalidRequest

Receive = Callable[[], Awaitable[Any]]

_DISCARDED_BYTES: Final = 1024 * 1024
"""So much of an over-long body is read and dropped: most clients read an answer only after they have sent all."""


_SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one request."""

    body_bytes: int = 64 * 1024
    body_s: float = 10.0
    header_bytes: int = 16 * 1024
    url_bytes: int = 4 * 1024
    json_depth: int = 16
    default_patience_s: float = 10.0
    longest_patience_s: float = 30.0


class CallerLeft(Exception):
    """The client closed the connection before its request was whole: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The header fields of a request that the gateway reads; empty where absent."""

    authorization: str = ""
    traceparent: str = ""
    content_type: str = ""
    content_encoding: str = ""
    content_length: str = ""
    transfer_encoding: str = ""
    request_timeout: str = ""

    @property
    def announces_body(self) -> bool:
        """Whether a body follows."""
        return bool(self.transfer_encoding) or self.content_length not in ("", "0")


_READ: Final = {
    b"authorization": "authorization",
    b"traceparent": "traceparent",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"content-length": "content_length",
    b"transfer-encoding": "transfer_encoding",
    b"x-request-timeout": "request_timeout",
}


def heading_of(headers: Iterable[tuple[bytes, bytes]], limits: Limits) -> Heading:
    """The header fields that matter. Errors: HeadersTooLarge; InvalidRequest when one that counts comes twice."""
    size = 0
    read: dict[str, str] = {}
    for name, value in headers:
        size += len(name) + len(value) + 4
        known = _READ.get(name)
        if known is None:
            continue
        if known in read:
            raise InvalidRequest(violations=[FieldViolation(name.decode(), "the header is given twice", "GIVEN_TWICE")])
        read[known] = value.decode("latin-1")
    if size > limits.header_bytes:
        raise HeadersTooLarge(limit_bytes=limits.header_bytes)
    return Heading(**read)


def check_url(raw_path: bytes, query: bytes, limits: Limits) -> None:
    """Raise QueryTooLong for a URL that no call of ours needs."""
    if len(raw_path) + len(query) > limits.url_bytes:
        raise QueryTooLong(limit_bytes=limits.url_bytes)


def patience_s(heading: Heading, limits: Limits) -> float:
    """Seconds that the caller waits: `X-Request-Timeout` in seconds, capped, or the default. Errors: InvalidRequest."""
    text = heading.request_timeout
    if not text:
        return limits.default_patience_s
    wanted_s = float(text) if _SECONDS.fullmatch(text) else 0.0
    if wanted_s <= 0:
        raise InvalidRequest(
            violations=[FieldViolation("X-Request-Timeout", "seconds are expected, such as 2.5", "WRONG_TYPE")]
        )
    return min(wanted_s, limits.longest_patience_s)


async def read_body(receive: Receive, heading: Heading, limits: Limits) -> bytes:
    """The whole body. Errors: MediaTypeNotSupported, BodyTooLarge, RequestTooSlow, CallerLeft."""
    if not heading.announces_body:
        return b""
    _check_media_type(heading)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _gather_body(receive, limits)
    except TimeoutError as error:
        raise RequestTooSlow(limit_s=int(limits.body_s)) from error


def _check_media_type(heading: Heading) -> None:
    media_type, _, parameters = heading.content_type.lower().partition(";")
    charset = parameters.strip().replace('"', "")
    if media_type.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise MediaTypeNotSupported(content_type=heading.content_type[:100])
    if heading.content_encoding.lower() not in ("", "identity"):
        raise MediaTypeNotSupported(content_encoding=heading.content_encoding[:100])


async def _gather_body(receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= limits.body_bytes:
            parts.append(part)
        more: bool = message.get("more_body", False)
        if size > limits.body_bytes and (not more or size > limits.body_bytes + _DISCARDED_BYTES):
            raise BodyTooLarge(limit_bytes=limits.body_bytes)
        if not more:
            return parts[0] if len(parts) == 1 else b"".join(parts)
