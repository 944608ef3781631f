"""One call of a neighbour's RPC on behalf of a person."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from services.gateway.refusals import AnswerLate, NeighbourUnavailable
from venus_kit import telemetry
from venus_kit.access import path_of
from venus_kit.grpc_status import DETAILS_KEY, status_of_rpc_error
from venus_kit.identity import ASSERTION_KEY

_RETRY_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, in which trace, and how long they wait."""

    assertion: str
    traceparent: str
    patience_s: float


class Call(Protocol):
    """Gets the reply to a request. Errors: Refusal, Told."""

    def __call__(self, request: Message, asker: Asker) -> Awaitable[Message]:
        """Ask."""
        ...


class Told(Exception):
    """A neighbour answered with an error, which is passed on as it is."""

    def __init__(self, status: Status) -> None:
        """`status` goes out in full."""
        self.status = status
        super().__init__(status.message)


class NeighbourBroken(Exception):
    """A neighbour failed in a way that is our own fault, not the caller's and not the weather's."""


class UnaryCall:
    """Calls a unary RPC."""

    def __init__(self, channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
        """Call `method` over `channel`."""
        self._name = method.name
        self._ask: Callable[..., Awaitable[Message]] = cast("Any", channel).unary_unary(
            path_of(method),
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    async def __call__(self, request: Message, asker: Asker) -> Message:
        """The reply. Errors: Refusal, Told, NeighbourBroken."""
        metadata: tuple[tuple[str, Any], ...] = ((ASSERTION_KEY, asker.assertion), ("traceparent", asker.traceparent))
        try:
            return await self._ask(request, timeout=asker.patience_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error)
            if isinstance(failure, NeighbourUnavailable):
                telemetry.weather(error, rpc=self._name)
            raise failure from error


def failure_of(error: grpc.aio.AioRpcError) -> Exception:
    """What a failed RPC means: a neighbour's own words, weather, or a fault of ours."""
    code = error.code()
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    spoken = any(key == DETAILS_KEY for key, _ in trailing)
    if code is grpc.StatusCode.UNAUTHENTICATED:  # our credentials; the person's own were good at the gateway
        return NeighbourBroken(f"UNAUTHENTICATED: {error.details()}")
    if spoken:
        return Told(status_of_rpc_error(error))
    # without a rich status the text is the library's, with addresses in it: it stays here
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        return NeighbourUnavailable(retry_after_s=_RETRY_AFTER_S)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return AnswerLate(retry_after_s=_RETRY_AFTER_S)
    return NeighbourBroken(f"{code.name}: {error.details()}")
