"""The field rules that stand in the protos, checked with one reused validator."""

from typing import Any, cast

import protovalidate
from google.protobuf.message import Message

from venus_kit.errors import FieldViolation, InvalidRequest


class Validation:
    """Checks messages against the `buf.validate` rules of their protos."""

    def __init__(self) -> None:
        """Compile rules lazily, once per message type."""
        self._validator = protovalidate.Validator()

    def check(self, message: Message, *, below: str = "") -> None:
        """Raise InvalidRequest with every field that is wrong; `below` is cut from the front of the paths."""
        found = self._validator.collect_violations(message)
        if found:
            raise InvalidRequest(
                violations=[
                    FieldViolation(
                        _path(violation).removeprefix(below), violation.proto.message, violation.proto.rule_id
                    )
                    for violation in found
                ]
            )

    def check_item(self, item: Message) -> None:
        """The same for one item of a batch (`context`, `request`), told as the call that it is."""
        self.check(item, below="request.")
        if not item.HasField("request"):  # what is not there has no rules of its own
            self.check(cast("Any", item).request)


def _path(violation: protovalidate.Violation) -> str:
    """`lines[0].weight_grams`; the message itself is the empty path."""
    path = ""
    for element in cast("Any", violation.proto.field).elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return path
