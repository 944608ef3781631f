"""JSON as callers send it: strict where the standard library is generous.

Refused, beside what is no JSON at all: a key twice in one object, NaN and Infinity, anything but UTF-8, and
nesting deeper than any request of ours.
"""

import json
import re
from typing import Any, Final, NoReturn

from venus_kit.errors import FieldViolation, InvalidRequest

BODY: Final = "(body)"
"""Where a violation stands that belongs to no field."""

_NO_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL)


class TwiceNamed(dict[str, Any]):
    """An object in which a key stands twice; whoever walks over it knows the path and refuses it there."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        """Keep the last value of each key, and the first key that came again."""
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.repeated = next(key for at, key in enumerate(keys) if key in keys[:at])


def parse_json(body: bytes, *, max_depth: int) -> object:
    """The document in `body`, objects as dicts (`TwiceNamed` where a key repeats). Errors: InvalidRequest."""
    try:
        text = body.decode()
        if text.count("{") + text.count("[") > max_depth:
            _check_depth(text, max_depth)
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise _invalid("the body is not UTF-8") from error
    except ValueError as error:  # the library refuses to read thousands of digits
        raise _invalid("a number has more digits than any field takes") from error


def _invalid(description: str) -> InvalidRequest:
    return InvalidRequest(violations=[FieldViolation(BODY, description, "JSON_INVALID")])


def _check_depth(text: str, max_depth: int) -> None:
    """Look at the brackets outside of strings: the parser would recurse once for each."""
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        if bracket in "{[":
            depth += 1
            if depth > max_depth:
                raise InvalidRequest(
                    violations=[FieldViolation(BODY, f"nested deeper than {max_depth} levels", "TOO_DEEP")]
                )
        else:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else TwiceNamed(pairs)


def _constant(name: str) -> NoReturn:
    raise _invalid(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
