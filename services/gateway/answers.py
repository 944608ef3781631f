"""HTTP answers, and the one table from gRPC's codes to HTTP's."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from services.gateway.refusals import HttpRefusal, MethodNotAllowed
from services.gateway.replies import library_dict
from venus_kit.errors import Kind, Refusal
from venus_kit.grpc_status import grpc_code, status_of

HTTP_OF_GRPC: Final[Mapping[int, int]] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
    code_pb2.UNAUTHENTICATED: 401,
}
"""Google's mapping: FAILED_PRECONDITION is 400, ABORTED 409; tills branch on the reason."""

Headers = tuple[tuple[bytes, bytes], ...]

JSON: Final[Headers] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
CLOSING: Final = (b"connection", b"close")

_TOLD: Final[Mapping[str, type[Message]]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.QuotaFailure,
    )
}
"""Details that go out; others, such as DebugInfo, stay in."""

_UNDERSCORED: Final = re.compile(r"_([a-z0-9])")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `outcome` is the gRPC name of its code, for metrics."""

    http_code: int
    body: bytes
    headers: Headers = JSON
    outcome: str = "OK"


def refused(refusal: Refusal) -> Answer:
    """The answer that tells a refusal of the gateway's own."""
    headers: list[tuple[bytes, bytes]] = [*JSON]
    http_code = None
    if isinstance(refusal, HttpRefusal):
        http_code = refusal.http_code
        if isinstance(refusal, MethodNotAllowed):
            headers.append((b"allow", refusal.allow.encode()))
        if http_code in {408, 413, 431}:  # what is left of the request is not worth reading
            headers.append(CLOSING)
    elif refusal.refused_as is Kind.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b'Bearer realm="venus"'))
    return failed(status_of(refusal), http_code=http_code, headers=tuple(headers))


def failed(status: Status, *, http_code: int | None = None, headers: Headers = JSON) -> Answer:
    """The answer that tells a google.rpc.Status, with the HTTP code of the table unless another is given."""
    code = HTTP_OF_GRPC.get(status.code, 500) if http_code is None else http_code
    name = grpc_code(status).name
    details = [told for told in map(_detail, status.details) if told is not None]
    retry = _retry_after(status)
    body = orjson.dumps({"error": {"code": code, "status": name, "message": status.message, "details": details}})
    return Answer(code, body, (*headers, *retry), name)


def _detail(packed: ProtoAny) -> dict[str, Any] | None:
    kind = _TOLD.get(packed.TypeName())
    if kind is None:
        return None
    detail = kind.FromString(packed.value)
    if isinstance(detail, error_details_pb2.BadRequest):
        for violation in detail.field_violations:
            violation.field = _json_path(violation.field)
    return {"@type": packed.type_url, **library_dict(detail)}


def _json_path(path: str) -> str:
    """`lines[0].weight_grams` of a service as `lines[0].weightGrams`, the name that REST callers use."""
    return _UNDERSCORED.sub(lambda found: found[1].upper(), path)


def _retry_after(status: Status) -> Headers:
    for packed in status.details:
        if packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            seconds = max(1, math.ceil(delay.seconds + delay.nanos / 1e9))
            return ((b"retry-after", b"%d" % seconds),)
    return ()
