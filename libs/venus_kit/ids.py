"""Ids that can be made again, ids that sort by time, and the fingerprint of a request."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Final, cast
from uuid import UUID, uuid5

import orjson

_AS_THEY_ARE: Final = frozenset({str, int, bool, type(None), UUID})
_NANOS_PER_MS: Final = 1_000_000


def derive(saga_id: UUID, verb: str) -> UUID:
    """The id of what `verb` does for this saga: the same every time it is asked for."""
    return uuid5(saga_id, verb)


def new_id() -> UUID:
    """A new UUIDv7; sorts by the time it was made, to a quarter of a microsecond."""
    unix_ms, nanos = divmod(time.time_ns(), _NANOS_PER_MS)
    fraction = nanos * 4096 // _NANOS_PER_MS
    rest = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=unix_ms << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | rest)


def fingerprint(version: int, *parts: object) -> bytes:
    """33 bytes: `version` (0-255), then the SHA-256 of the parts as canonical JSON.

    Parts are JSON values, UUIDs, dates, aware times, dataclasses; the order of keys does not count. Floats raise
    TypeError: weights and money are whole numbers, and a float's text may change with the library.
    """
    canonical = orjson.dumps([_without_floats(part) for part in parts], option=orjson.OPT_SORT_KEYS)
    return bytes([version]) + hashlib.sha256(canonical).digest()


def _without_floats(part: object) -> object:
    if type(part) in _AS_THEY_ARE:  # the look at a Mapping is what costs
        return part
    if isinstance(part, float):
        raise TypeError("a fingerprint takes no floats")
    if is_dataclass(part) and not isinstance(part, type):
        part = {field.name: cast("object", getattr(part, field.name)) for field in fields(part)}
    if isinstance(part, Mapping):
        return {key: _without_floats(value) for key, value in cast("Mapping[str, object]", part).items()}
    if isinstance(part, (list, tuple)):
        return [_without_floats(value) for value in cast("Sequence[object]", part)]
    return part
