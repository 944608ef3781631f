"""One HTTP request to one request message: path variables, query parameters and the JSON body."""

from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway.fields import Field, MessageFields, Problems
from services.gateway.json_document import parse_json
from venus_kit.errors import FieldViolation, InvalidRequest

WHOLE_BODY: Final = "*"
_PARAMETERS_AT_MOST: Final = 100

Values = dict[str, Any]


class RequestReader:
    """Builds the request message of one route."""

    def __init__(self, descriptor: Descriptor, *, variables: Sequence[str], body: str, max_depth: int) -> None:
        """`variables` are the field paths of the URL's template, `body` is "*", a field's name or empty.

        Errors: TypeError or KeyError when the annotation names what the message does not have.
        """
        self._make = GetMessageClass(descriptor)
        self._fields = MessageFields(descriptor)
        self._variables = [self._resolve(path) for path in variables]
        self._body = body
        self._body_field = self._fields.by_name[body] if body not in ("", WHOLE_BODY) else None
        self._max_depth = max_depth

    @property
    def takes_body(self) -> bool:
        """Whether the route has a body at all."""
        return bool(self._body)

    def read(self, variables: Sequence[str], query: bytes, body: bytes) -> Message:
        """The request message. Errors: InvalidRequest with the path of everything that is wrong."""
        problems = Problems()
        values: Values = {}
        if body:
            self._read_body(parse_json(body, max_depth=self._max_depth), values, problems)
        if query:
            self._read_query(query, values, problems)
        for fields, text in zip(self._variables, variables, strict=True):
            self._set_variable(fields, text, values, problems)
        problems.refuse_any()
        return self._make(**values)

    def _resolve(self, path: str) -> list[Field]:
        """The fields along a path of the annotation, the last one a single value."""
        fields: MessageFields | None = self._fields
        found: list[Field] = []
        for name in path.split("."):
            if fields is None:
                raise KeyError(path)
            found.append(fields.by_name[name])
            fields = found[-1].message
        if fields is not None or any(field.repeated for field in found):
            raise TypeError(f"{path} is no single value, so no path variable")
        return found

    def _read_body(self, document: object, values: Values, problems: Problems) -> None:
        if self._body_field is None:
            values.update(self._fields.read(document, "", problems))
        else:
            values[self._body_field.name] = self._body_field.read(document, self._body_field.json_name, problems)

    def _read_query(self, query: bytes, values: Values, problems: Problems) -> None:
        repeated: dict[str, list[object]] = {}
        for name, text in _parameters(query):
            found = None if self._body == WHOLE_BODY else self._parameter(name)
            if found is None:
                problems.add(name, "UNKNOWN_PARAMETER", "there is no such query parameter here")
                continue
            *above, last = found
            holder = _descend(values, above)
            if last.repeated:
                items = repeated.setdefault(last.name, [])
                items.append(last.read_one(last.of_text(text), f"{name}[{len(items)}]", problems))
                holder[last.name] = items
            elif last.name in holder:
                problems.add(name, "GIVEN_TWICE", "the parameter is given twice")
            else:
                holder[last.name] = last.read(last.of_text(text), name, problems)

    def _parameter(self, name: str) -> list[Field] | None:
        """The fields along the dotted name of a query parameter; None when it names no value."""
        fields: MessageFields | None = self._fields
        found: list[Field] = []
        for part in name.split("."):
            field = fields.by_name.get(part) if fields else None
            if field is None or (found and found[-1].repeated):
                return None
            found.append(field)
            fields = field.message
        if fields is not None or found[0] is self._body_field:
            return None
        return found

    def _set_variable(self, fields: Sequence[Field], text: str, values: Values, problems: Problems) -> None:
        *above, last = fields
        holder = _descend(values, above)
        path = ".".join(field.json_name for field in fields)
        value = last.read(last.of_text(text), path, problems)
        if last.name in holder and holder[last.name] != value:
            problems.add(path, "CONFLICTS_WITH_PATH", "the URL says something else")
        holder[last.name] = value


def _parameters(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_AT_MOST
        )
    except ValueError as error:
        raise InvalidRequest(
            violations=[FieldViolation("(query)", "the query string is not encoded as it should be", "QUERY_INVALID")]
        ) from error


def _descend(values: Values, fields: Sequence[Field]) -> Values:
    """The values of the message at the end of `fields`, made where they are absent."""
    for field in fields:
        values = cast("Values", values.setdefault(field.name, {}))
    return values
