"""Refusals, weather and bugs as google.rpc.Status, and back."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from venus_kit.errors import FieldViolation, Kind, Refusal, ToldRefusal, Weather

DOMAIN: Final = "venus"
INTERNAL_TEXT: Final = "Something went wrong on our side; it has been reported."
WEATHER_TEXT: Final = "The service cannot reach what it needs; try again with the same id."
DETAILS_KEY: Final = "grpc-status-details-bin"

_CODE_OF_KIND: Final[Mapping[Kind, int]] = {kind: code_pb2.Code.Value(kind.value) for kind in Kind}
_KIND_OF_CODE: Final[Mapping[int, Kind]] = {code: kind for kind, code in _CODE_OF_KIND.items()}
_GRPC_CODE: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: BaseException) -> Status:
    """What a caller is told of an error: a refusal in full, weather and bugs in fixed words."""
    if isinstance(error, Refusal):
        return _status_of_refusal(error)
    if isinstance(error, Weather):
        return Status(code=code_pb2.UNAVAILABLE, message=WEATHER_TEXT)
    return Status(code=code_pb2.INTERNAL, message=INTERNAL_TEXT)


def _status_of_refusal(refusal: Refusal) -> Status:
    status = Status(code=_CODE_OF_KIND[refusal.refused_as], message=refusal.message)
    info = error_details_pb2.ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=refusal.metadata)
    status.details.add().Pack(info)
    if refusal.violations:
        bad = error_details_pb2.BadRequest()
        for violation in refusal.violations:
            bad.field_violations.add(field=violation.field, description=violation.description, reason=violation.reason)
        status.details.add().Pack(bad)
    if refusal.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(int(refusal.retry_after_s * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def refusal_of(status: Status) -> ToldRefusal | None:
    """The refusal that a status carries; None when it tells of weather or a bug, so that nobody reads unknown as no."""
    kind = _KIND_OF_CODE.get(status.code)
    if kind is None:
        return None
    info = error_details_pb2.ErrorInfo()
    found = False
    violations: list[FieldViolation] = []
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
            found = info.domain == DOMAIN
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            violations = _violations(detail)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    if not found:
        return None
    return ToldRefusal(
        reason=info.reason,
        kind=kind,
        message=status.message,
        metadata=dict(info.metadata),
        violations=violations,
        retry_after_s=retry_after_s,
    )


def _violations(detail: ProtoAny) -> list[FieldViolation]:
    bad = error_details_pb2.BadRequest()
    detail.Unpack(bad)
    found = cast("Iterable[Any]", bad.field_violations)  # the stubs do not know `reason` yet
    return [FieldViolation(v.field, v.description, v.reason) for v in found]


def grpc_code(status: Status) -> grpc.StatusCode:
    """The gRPC library's name for a status's code."""
    return _GRPC_CODE.get(status.code, grpc.StatusCode.UNKNOWN)


def status_of_rpc_error(error: grpc.aio.AioRpcError) -> Status:
    """The rich status of a failed call; a plain one when the server sent none."""
    for key, value in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()):
        if key == DETAILS_KEY and isinstance(value, bytes):
            return Status.FromString(value)
    code = error.code()
    return Status(code=code.value[0], message=error.details() or code.name)
