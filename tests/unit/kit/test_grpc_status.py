"""On the wire a refusal stays what it is, and nothing else is ever read as one."""

import grpc
import grpc.aio
import pytest
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from venus_kit.errors import FieldViolation, Kind, Poison, Refusal, Weather
from venus_kit.grpc_status import DETAILS_KEY, DOMAIN, grpc_code, refusal_of, status_of, status_of_rpc_error


class OutOfChicken(Refusal):
    """There is no chicken left."""


def refusing_as(wanted: Kind) -> type[Refusal]:
    class No(Refusal):
        """No."""

        kind = wanted

    return No


def test_a_refusal_comes_back_word_for_word() -> None:
    refusal = OutOfChicken(
        violations=[FieldViolation("lines[0].weight_grams", "is too much", "too_much"), FieldViolation("note", "why")],
        retry_after_s=1.5,
        available_grams=250,
        sku_code="BRO-SKIN",
    )
    told = refusal_of(Status.FromString(status_of(refusal).SerializeToString()))
    assert told == refusal
    assert told is not None
    assert told.reason == "OUT_OF_CHICKEN"
    assert told.message == "There is no chicken left."
    assert told.metadata == {"available_grams": "250", "sku_code": "BRO-SKIN"}
    assert told.retry_after_s == 1.5
    assert told.violations == refusal.violations
    assert status_of(told) == status_of(refusal), "and goes on unchanged"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_the_code_of_its_name(kind: Kind) -> None:
    status = status_of(refusing_as(kind)())
    assert grpc_code(status).name == kind
    told = refusal_of(status)
    assert told is not None
    assert told.refused_as is kind


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Weather("no route to 10.0.0.7"), grpc.StatusCode.UNAVAILABLE),
        (Poison("row (7, secret)"), grpc.StatusCode.INTERNAL),
        (ValueError("secret"), grpc.StatusCode.INTERNAL),
    ],
)
def test_weather_and_bugs_are_told_in_fixed_words_and_are_no_refusals(error: Exception, code: grpc.StatusCode) -> None:
    status = status_of(error)
    assert grpc_code(status) is code
    assert str(error) not in str(status)
    assert refusal_of(status) is None


def test_a_status_of_others_is_no_refusal() -> None:
    """A proxy, the library, another suite: whatever the code, it may have happened."""
    foreign = Status(code=code_pb2.FAILED_PRECONDITION)
    foreign.details.add().Pack(error_details_pb2.ErrorInfo(reason="NO", domain="elsewhere.example"))
    ours_but_unknown = Status(code=code_pb2.INTERNAL)
    ours_but_unknown.details.add().Pack(error_details_pb2.ErrorInfo(reason="NO", domain=DOMAIN))
    for status in (foreign, ours_but_unknown, Status(code=code_pb2.NOT_FOUND, message="no such method"), Status()):
        assert refusal_of(status) is None


def test_a_failed_call_carries_its_refusal_in_the_trailers() -> None:
    status = status_of(OutOfChicken(available_grams=1))
    error = failed(grpc.StatusCode.FAILED_PRECONDITION, (DETAILS_KEY, status.SerializeToString()))
    assert status_of_rpc_error(error) == status


def test_a_failed_call_that_brought_nothing_is_told_by_its_code_and_is_no_refusal() -> None:
    plain = status_of_rpc_error(failed(grpc.StatusCode.NOT_FOUND))
    assert (plain.code, plain.message) == (code_pb2.NOT_FOUND, "from the library")
    assert refusal_of(plain) is None


def failed(code: grpc.StatusCode, *trailers: tuple[str, bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), "from the library", None)
