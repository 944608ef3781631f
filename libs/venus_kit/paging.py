"""Page tokens: where a list went on, bound to the filters that it was asked with."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, cast
from uuid import UUID

import orjson

from venus_kit.errors import PageTokenInvalid

_BOUND_LENGTH: Final = 8
_MAX_TOKEN_LENGTH: Final = 1024
_TAGS: Final[Mapping[type, str]] = {UUID: "uuid", datetime: "time", date: "date"}


def encode_token(filters: Mapping[str, object], key: Sequence[object]) -> str:
    """The token of the page after the row with `key` (strings, integers, UUIDs, dates, aware times)."""
    body = orjson.dumps([_tagged(part) for part in key])
    return base64.urlsafe_b64encode(_bound(filters, body) + body).rstrip(b"=").decode()


def decode_token(token: str, filters: Mapping[str, object], *, shape: Sequence[type] = ()) -> list[object] | None:
    """The key that `encode_token` was given; None for an empty token.

    Raises PageTokenInvalid for a token of other filters, a broken one, and, when `shape` is given, for a key whose
    parts are not of these types.
    """
    if not token:
        return None
    if len(token) > _MAX_TOKEN_LENGTH:
        raise PageTokenInvalid
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        bound, body = raw[:_BOUND_LENGTH], raw[_BOUND_LENGTH:]
        if bound != _bound(filters, body):
            raise PageTokenInvalid
        key = [_untagged(part) for part in cast("list[object]", orjson.loads(body))]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise PageTokenInvalid from None
    if shape and [type(part) for part in key] != list(shape):
        raise PageTokenInvalid
    return key


def _bound(filters: Mapping[str, object], body: bytes) -> bytes:
    asked = orjson.dumps(dict(filters), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(asked + b"\n" + body).digest()[:_BOUND_LENGTH]


def _tagged(part: object) -> object:
    tag = _TAGS.get(type(part))
    return {tag: str(part)} if tag else part


def _untagged(part: object) -> object:
    if not isinstance(part, dict):
        return part
    ((tag, text),) = cast("dict[str, str]", part).items()
    if tag == "uuid":
        return UUID(text)
    if tag == "time":
        return datetime.fromisoformat(text)
    return {"date": date.fromisoformat}[tag](text)
