"""Request fields, compiled from their descriptors: JSON and URL text in, what a message is made of out.

Nothing is guessed and nothing is dropped. A field that is unknown, of the wrong type or given twice is a violation
with its path, and all of them are told at once.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.json_document import TwiceNamed
from venus_kit.errors import FieldViolation, InvalidRequest

_TOLD_AT_MOST: Final = 20
_PATH_LENGTH: Final = 200
_EXACT_FLOAT: Final = 2**53
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s")

_RANGES: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_BOOLS: Final[Mapping[str, bool]] = {"true": True, "false": False}

ReadValue = Callable[[object], object]


class Wrong(Exception):
    """One value is not what its field takes."""

    def __init__(self, reason: str, description: str) -> None:
        """`reason` in upper snake case for programs, `description` says what would be right."""
        self.reason = reason
        self.description = description
        super().__init__(description)


class Problems:
    """Everything found wrong with one request, by path."""

    def __init__(self) -> None:
        """Nothing wrong so far."""
        self._found: list[FieldViolation] = []

    def add(self, path: str, reason: str, description: str) -> None:
        """Note one violation; `path` may hold whatever a caller sent as a key."""
        if len(self._found) < _TOLD_AT_MOST:
            shown = path[:_PATH_LENGTH].encode(errors="backslashreplace").decode()
            self._found.append(FieldViolation(shown, description, reason))

    def refuse_any(self) -> None:
        """Raise InvalidRequest when anything was found."""
        if self._found:
            raise InvalidRequest(violations=self._found)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request message: a scalar has `of_value`, a message that callers see into has `message`."""

    name: str
    json_name: str
    repeated: bool
    oneof: str
    """The oneof that it belongs to; empty for none."""
    of_text: Callable[[str], object] = str
    """Text of a URL to the JSON value that it stands for."""
    of_value: ReadValue | None = None
    """One JSON value to what the field holds; raises Wrong."""
    message: "MessageFields | None" = None
    """Its fields."""

    def read(self, value: object, path: str, problems: Problems) -> object:
        """What the field holds, in the form that its message's constructor takes."""
        if not self.repeated:
            return self.read_one(value, path, problems)
        if not isinstance(value, list):
            problems.add(path, "WRONG_TYPE", f"a list is expected, not {_kind(value)}")
            return None
        items = cast("list[object]", value)
        return [self.read_one(item, f"{path}[{at}]", problems) for at, item in enumerate(items)]

    def read_one(self, value: object, path: str, problems: Problems) -> object:
        """One value of it."""
        if self.message is not None:
            return self.message.read(value, path, problems)
        if self.of_value is None:
            return None
        try:
            return self.of_value(value)
        except Wrong as wrong:
            problems.add(path, wrong.reason, wrong.description)
            return None


class MessageFields:
    """The fields of one message by both of their names, `store_id` and `storeId`."""

    def __init__(self, descriptor: Descriptor, compiled: "dict[str, MessageFields] | None" = None) -> None:
        """Compile a request message. Errors: TypeError for a kind of field that REST requests do not carry here."""
        seen = {} if compiled is None else compiled
        seen[descriptor.full_name] = self
        self.by_name: dict[str, Field] = {}
        for field in descriptor.fields:
            compiled_field = _compile(field, seen)
            self.by_name[field.name] = self.by_name[field.camelcase_name] = compiled_field

    def read(self, value: object, path: str, problems: Problems) -> dict[str, object]:
        """The arguments to construct the message with; what is wrong is noted below `path`."""
        taken: dict[str, object] = {}
        if not isinstance(value, dict):
            problems.add(path, "WRONG_TYPE", f"an object is expected, not {_kind(value)}")
            return taken
        if isinstance(value, TwiceNamed):
            problems.add(_below(path, value.repeated), "GIVEN_TWICE", "the key stands twice in its object")
        chosen: dict[str, str] = {}
        for key, item in cast("dict[str, object]", value).items():
            field = self.by_name.get(key)
            if field is None:
                problems.add(_below(path, key), "UNKNOWN_FIELD", "there is no such field")
                continue
            if item is None:  # proto JSON: null is an absent field
                continue
            if field.name in taken:
                problems.add(_below(path, key), "GIVEN_TWICE", f"{field.name} and {field.json_name} are one field")
            if field.oneof and chosen.setdefault(field.oneof, key) != key:
                problems.add(_below(path, key), "ONE_OF", f"only one of {chosen[field.oneof]} and {key} can be given")
            taken[field.name] = field.read(item, _below(path, key), problems)
        return taken


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _compile(field: FieldDescriptor, compiled: dict[str, MessageFields]) -> Field:
    oneof = field.containing_oneof
    shape: Any = {
        "name": field.name,
        "json_name": field.camelcase_name,
        "repeated": field.is_repeated,
        # proto3 `optional` makes a oneof of its own for one field
        "oneof": oneof.name if oneof is not None and len(oneof.fields) > 1 else "",
    }
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _compile_message(field, compiled, shape)
    if field.type in _RANGES:
        return Field(**shape, of_value=_whole_number(*_RANGES[field.type]))
    if field.type == FieldDescriptor.TYPE_STRING:
        return Field(**shape, of_value=_text)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return Field(**shape, of_value=_bool, of_text=lambda text: _BOOLS.get(text, text))
    if field.type == FieldDescriptor.TYPE_ENUM and field.enum_type is not None:
        return Field(**shape, of_value=_enum(field.enum_type), of_text=_number_or_name)
    raise TypeError(f"{field.full_name}: REST requests do not carry this kind of field yet")


def _compile_message(field: FieldDescriptor, compiled: dict[str, MessageFields], shape: Any) -> Field:
    descriptor = cast("Descriptor", field.message_type)
    if descriptor.full_name == Timestamp.DESCRIPTOR.full_name:
        return Field(**shape, of_value=_timestamp)
    if descriptor.full_name == Duration.DESCRIPTOR.full_name:
        return Field(**shape, of_value=_duration)
    if descriptor.full_name.startswith("google.") or descriptor.GetOptions().map_entry:
        raise TypeError(f"{field.full_name}: REST requests do not carry {descriptor.full_name} yet")
    inner = compiled.get(descriptor.full_name) or MessageFields(descriptor, compiled)
    return Field(**shape, message=inner)


def _whole_number(lowest: int, highest: int) -> ReadValue:
    """Proto JSON: a number or its digits as text; 2500.0 and 2.5e3 are whole, 2.5 is not."""

    def read(value: object) -> int:
        if type(value) is int:
            number = value
        elif isinstance(value, str):
            number = _digits(value)
        elif isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOAT:
            number = int(value)
        else:
            raise Wrong("WRONG_TYPE", f"a whole number is expected, not {_kind(value)}")
        if not lowest <= number <= highest:
            raise Wrong("OUT_OF_RANGE", f"must lie between {lowest} and {highest}")
        return number

    return read


def _digits(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or str(number) != text:  # no spaces, signs, leading zeros, other scripts' digits
        raise Wrong("WRONG_TYPE", "a whole number is expected, not this text")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("WRONG_TYPE", f"text is expected, not {_kind(value)}")
    if value.isascii():
        sound = "\0" not in value
    else:
        sound = "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if not sound:  # neither protobuf nor PostgreSQL can keep it
        raise Wrong("BAD_TEXT", "text must not hold U+0000 or half a surrogate pair")
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong("WRONG_TYPE", f"true or false is expected, not {_kind(value)}")
    return value


def _enum(descriptor: EnumDescriptor) -> ReadValue:
    numbers = {value.name: value.number for value in descriptor.values}
    known = frozenset(numbers.values())

    def read(value: object) -> int:
        if isinstance(value, str):
            number = numbers.get(value)
            if number is None:
                raise Wrong("UNKNOWN_ENUM_VALUE", f"must be one of {', '.join(numbers)}")
            return number
        if type(value) is not int:
            raise Wrong("WRONG_TYPE", f"the name of a value is expected, not {_kind(value)}")
        if value not in known:
            raise Wrong("UNKNOWN_ENUM_VALUE", f"must be one of {', '.join(numbers)}")
        return value

    return read


def _number_or_name(text: str) -> object:
    return int(text) if _NUMBER.fullmatch(text) else text


def _timestamp(value: object) -> Timestamp:
    read = Timestamp()
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise Wrong("WRONG_TYPE", "a time is expected, such as 2025-01-31T18:30:00Z")
    try:
        read.FromJsonString(value)
    except ValueError as error:
        raise Wrong("OUT_OF_RANGE", "there is no such time") from error
    return read


def _duration(value: object) -> Duration:
    read = Duration()
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise Wrong("WRONG_TYPE", "a span of time is expected, such as 1.5s")
    try:
        read.FromJsonString(value)
    except ValueError as error:
        raise Wrong("OUT_OF_RANGE", "the span of time is too long") from error
    return read


def _kind(value: object) -> str:
    """The JSON kind of a value, in words; values themselves are not told back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a fraction"
    kinds: Mapping[type, str] = {int: "a number", str: "this text", list: "a list"}
    return kinds.get(type(value), "an object")
