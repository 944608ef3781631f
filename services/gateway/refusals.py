"""What the gateway itself says no to, before any service is asked.

Each has the HTTP status that the web has for it; gRPC's codes are too few to tell them apart.
"""

from typing import ClassVar

from venus_kit.errors import Kind, Refusal


class HttpRefusal(Refusal):
    """The request cannot be served over HTTP."""

    kind: ClassVar[Kind] = Kind.INVALID_ARGUMENT
    http_code: ClassVar[int] = 400


class RouteNotFound(HttpRefusal):
    """There is nothing at this path."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    http_code: ClassVar[int] = 404


class MethodNotAllowed(HttpRefusal):
    """This path does not take this method."""

    http_code: ClassVar[int] = 405

    def __init__(self, allow: str) -> None:
        """`allow` lists the methods that the path takes, as in the Allow header."""
        self.allow = allow
        super().__init__(allow=allow)


class RequestTooSlow(HttpRefusal):
    """The request did not come in time."""

    kind: ClassVar[Kind] = Kind.DEADLINE_EXCEEDED
    http_code: ClassVar[int] = 408


class BodyTooLarge(HttpRefusal):
    """The body is larger than this API takes."""

    http_code: ClassVar[int] = 413


class QueryTooLong(HttpRefusal):
    """The path with its query is longer than this API takes."""

    http_code: ClassVar[int] = 414


class MediaTypeNotSupported(HttpRefusal):
    """The body must be JSON in UTF-8, sent as application/json and not compressed."""

    http_code: ClassVar[int] = 415


class HeadersTooLarge(HttpRefusal):
    """The header fields are larger than this API takes."""

    http_code: ClassVar[int] = 431


class HttpMalformed(HttpRefusal):
    """This is no HTTP that can be read."""


class NeighbourUnavailable(Refusal):
    """The service that answers this cannot be reached now; try again."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE


class AnswerLost(Refusal):
    """The answer was lost on its way; what was asked may have happened: ask again with the same id."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE


class AnswerLate(Refusal):
    """The answer did not come while the caller waited; what was asked may have happened: ask again with the same id."""

    kind: ClassVar[Kind] = Kind.DEADLINE_EXCEEDED


class BodyNotTaken(HttpRefusal):
    """This call takes no body: its parameters stand in the URL."""
