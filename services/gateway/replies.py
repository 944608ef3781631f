"""Reply messages as JSON, compiled from their descriptors.

The form is proto JSON: names in camelCase, 64-bit integers as text, enums by name, every field printed that has no
presence of its own. Google's messages, and ours with field kinds that no reply has yet, go through protobuf's library.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

Write = Callable[[Any], Any]

_INT64: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)
_AS_THEY_ARE: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BOOL,
    }
)


class ReplyWriter:
    """Writes the replies of one RPC."""

    def __init__(self, descriptor: Descriptor, accepted_when: str = "") -> None:
        """`accepted_when` is "path=VALUE": the enum field whose value makes a reply 202 Accepted; empty for never.

        Errors: KeyError or ValueError when it names what the message does not have.
        """
        self._write = _message(descriptor, {})
        self._accepted_path: list[str] = []
        self._accepted_number = 0
        if accepted_when:
            path, _, name = accepted_when.partition("=")
            self._accepted_path = path.split(".")
            self._accepted_number = _enum_at(descriptor, self._accepted_path).values_by_name[name].number

    def body(self, reply: Message) -> bytes:
        """The reply as JSON in UTF-8."""
        return orjson.dumps(self._write(reply))

    def http_code(self, reply: Message) -> int:
        """202 for a reply that says the work goes on, else 200."""
        if not self._accepted_path:
            return 200
        value: Any = reply
        for name in self._accepted_path:
            value = getattr(value, name)
        return 202 if value == self._accepted_number else 200


def library_dict(message: Message) -> dict[str, Any]:
    """Any message by protobuf's own library, in the same form."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def _message(descriptor: Descriptor, compiled: dict[str, Write]) -> Write:
    if descriptor.full_name in compiled:
        return compiled[descriptor.full_name]
    if descriptor.full_name.startswith("google.") or not all(_is_plain(field) for field in descriptor.fields):
        return library_dict
    plain: list[tuple[str, str, Write | None]] = []
    present: list[tuple[str, str, Write | None]] = []
    repeated: list[tuple[str, str, Write | None]] = []

    def write(message: Any) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, json_name, form in plain:
            value = getattr(message, name)
            written[json_name] = form(value) if form else value
        for name, json_name, form in present:
            if message.HasField(name):
                value = getattr(message, name)
                written[json_name] = form(value) if form else value
        for name, json_name, form in repeated:
            values = getattr(message, name)
            written[json_name] = [form(value) for value in values] if form else list(values)
        return written

    compiled[descriptor.full_name] = write  # before its fields: a message may hold itself
    for field in descriptor.fields:
        kind = repeated if field.is_repeated else present if field.has_presence else plain
        kind.append((field.name, field.camelcase_name, _form(field, compiled)))
    return write


def _is_plain(field: FieldDescriptor) -> bool:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return not cast("Descriptor", field.message_type).GetOptions().map_entry
    return field.type in _INT64 or field.type in _AS_THEY_ARE or field.type == FieldDescriptor.TYPE_ENUM


def _form(field: FieldDescriptor, compiled: dict[str, Write]) -> Write | None:
    """How one value is written; None for as it is."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _message_form(cast("Descriptor", field.message_type), compiled)
    if field.type in _INT64:
        return str
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = {value.number: value.name for value in cast("EnumDescriptor", field.enum_type).values}
        return lambda number: names.get(number, number)
    return None


def _message_form(descriptor: Descriptor, compiled: dict[str, Write]) -> Write:
    if descriptor.full_name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
        return lambda value: value.ToJsonString()
    return _message(descriptor, compiled)


def _enum_at(descriptor: Descriptor, path: list[str]) -> EnumDescriptor:
    *above, last = path
    for name in above:
        descriptor = cast("Descriptor", descriptor.fields_by_name[name].message_type)
    enum = descriptor.fields_by_name[last].enum_type
    if enum is None:
        raise ValueError(f"{'.'.join(path)} is no enum")
    return enum
