"""Which RPC answers which URL: read once from the google.api.http annotations, matched for every request."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import unquote

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from services.gateway.refusals import MethodNotAllowed, RouteNotFound

_VERBS: Final = ("get", "put", "post", "delete", "patch")
_VARIABLE: Final = re.compile(r"\{([a-z0-9_]+(?:\.[a-z0-9_]+)*)(?:=\*)?\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~-]+")

Target = TypeVar("Target")


@dataclass(frozen=True, slots=True)
class Template:
    """A URL path with places for fields: `/v1/stores/{store_id}/stock:adjust`."""

    segments: tuple[str, ...]
    """Literal text; empty where a variable stands."""
    variables: tuple[str, ...]
    """Field paths, in order."""
    action: str
    """What follows the colon; empty for none."""

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; each variable is one whole segment. Errors: ValueError."""
        if not text.startswith("/"):
            raise ValueError(f"{text!r} does not begin at the root")
        path, _, action = text[1:].partition(":")
        segments: list[str] = []
        variables: list[str] = []
        for segment in path.split("/"):
            variable = _VARIABLE.fullmatch(segment)
            if variable:
                variables.append(variable[1])
            elif not _LITERAL.fullmatch(segment):
                raise ValueError(f"{text!r}: {segment!r} is neither plain text nor {{field}}")
            segments.append("" if variable else segment)
        if action and not _LITERAL.fullmatch(action):
            raise ValueError(f"{text!r}: {action!r} is no plain text")
        return cls(tuple(segments), tuple(variables), action)


@dataclass(frozen=True, slots=True)
class Route:
    """One annotated RPC."""

    method: MethodDescriptor
    verb: str
    """GET, POST, ..."""
    template: Template
    body: str
    """"*", a field's name, or empty for no body."""


def routes_of(services: Iterable[ServiceDescriptor]) -> Iterator[Route]:
    """Every route that the services' annotations declare. Errors: ValueError for one that cannot be served."""
    for service in services:
        for method in service.methods:
            options = cast("Any", method.GetOptions())
            if options.HasExtension(annotations_pb2.http):
                rule = cast("HttpRule", options.Extensions[annotations_pb2.http])
                for binding in (rule, *rule.additional_bindings):
                    yield _route(method, binding)


def _route(method: MethodDescriptor, rule: HttpRule) -> Route:
    verb = rule.WhichOneof("pattern")
    if verb not in _VERBS:
        raise ValueError(f"{method.full_name}: no path for one of {_VERBS}")
    if method.client_streaming or method.server_streaming:
        raise ValueError(f"{method.full_name}: a stream is no REST call")
    if rule.response_body:
        raise ValueError(f"{method.full_name}: response_body is not served")
    return Route(method, verb.upper(), Template.parse(getattr(rule, verb)), rule.body)


@dataclass(slots=True)
class _Node(Generic[Target]):
    """Where one segment of a path leads."""

    literals: "dict[str, _Node[Target]]" = field(default_factory=dict[str, "_Node[Target]"])
    variable: "_Node[Target] | None" = None
    ends: dict[str, dict[str, Target]] = field(default_factory=dict[str, dict[str, Target]])
    """Action to HTTP verb to what serves it."""


class RouteTable(Generic[Target]):
    """Finds what serves a URL; literal text wins over a variable."""

    def __init__(self) -> None:
        """An empty table."""
        self._root: _Node[Target] = _Node()

    def add(self, verb: str, template: Template, target: Target) -> None:
        """Serve `verb` on paths like `template` by `target`. Errors: ValueError for a second target."""
        node = self._root
        for segment in template.segments:
            if segment:
                node = node.literals.setdefault(segment, _Node())
            else:
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
        targets = node.ends.setdefault(template.action, {})
        if verb in targets:
            raise ValueError(f"two RPCs for {verb} {template}")
        targets[verb] = target

    def find(self, verb: str, raw_path: bytes) -> tuple[Target, list[str]]:
        """What serves the request, and the text of the path variables. Errors: RouteNotFound, MethodNotAllowed."""
        allowed: set[str] = set()
        for targets, variables in self._matches(raw_path):
            target = targets.get(verb)
            if target is not None:
                return target, variables
            allowed.update(targets)
        if allowed:
            raise MethodNotAllowed(allow=allow_header(allowed))
        raise RouteNotFound

    def allowed(self, raw_path: bytes) -> str:
        """The Allow header of a path. Errors: RouteNotFound."""
        verbs = {verb for targets, _ in self._matches(raw_path) for verb in targets}
        if not verbs:
            raise RouteNotFound
        return allow_header(verbs)

    def _matches(self, raw_path: bytes) -> Iterator[tuple[dict[str, Target], list[str]]]:
        # split before decoding: an encoded slash or colon is part of a value
        head, _, last = raw_path.decode("ascii", "replace")[1:].rpartition("/")
        above = [_decode(segment) for segment in head.split("/")] if head else []
        name, _, action = last.rpartition(":")
        if name and action:
            yield from self._ends(self._root, [*above, _decode(name)], action)
        yield from self._ends(self._root, [*above, _decode(last)], "")

    def _ends(
        self, node: _Node[Target], segments: list[str], action: str
    ) -> Iterator[tuple[dict[str, Target], list[str]]]:
        if not segments:
            if action in node.ends:
                yield node.ends[action], []
            return
        first, rest = segments[0], segments[1:]
        if first in node.literals:
            yield from self._ends(node.literals[first], rest, action)
        if first and node.variable is not None:
            for targets, variables in self._ends(node.variable, rest, action):
                yield targets, [first, *variables]


def allow_header(verbs: Iterable[str]) -> str:
    """Verbs for an Allow header; HEAD goes with GET, OPTIONS with all."""
    return ", ".join(sorted({*verbs, "OPTIONS", *(["HEAD"] if "GET" in verbs else [])}))


def _decode(segment: str) -> str:
    """Percent-decoded; what is no UTF-8 becomes U+FFFD, which no id holds."""
    return unquote(segment) if "%" in segment else segment
