"""One way to call another service: always a deadline, always who we are, retries only where they are safe."""

import asyncio
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from venus_kit import telemetry
from venus_kit.access import path_of
from venus_kit.deadline import remaining_s
from venus_kit.identity import ServiceIdentity
from venus_kit.server import MESSAGE_BYTES

if TYPE_CHECKING:
    UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor[Any, Any]
    StreamInterceptor = grpc.aio.UnaryStreamClientInterceptor[Any, Any]
else:  # the library's classes take parameters in its stubs only
    UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor
    StreamInterceptor = grpc.aio.UnaryStreamClientInterceptor

DEFAULT_TIMEOUT_S: Final = 5.0
MARGIN_S: Final = 0.05
"""What a caller keeps of its own time to answer its caller."""
RETRIES: Final = 1
_BACKOFF_S: Final = 0.05

_REPEATABLE: Final = (MethodOptions.IDEMPOTENT, MethodOptions.NO_SIDE_EFFECTS)


def connect(target: str, identity: ServiceIdentity, services: Iterable[ServiceDescriptor]) -> grpc.aio.Channel:
    """A channel to `target` (host:port) for calls of `services`; close it after use."""
    caller = _Caller(identity, services)
    return grpc.aio.insecure_channel(
        target,
        interceptors=cast("Any", [_Unary(caller), _Streaming(caller)]),  # the stubs have no type for these
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


class _Caller:
    """What every call gets."""

    def __init__(self, identity: ServiceIdentity, services: Iterable[ServiceDescriptor]) -> None:
        self._identity = identity
        self.repeatable = frozenset(
            path_of(method)
            for service in services
            for method in service.methods
            if cast("Any", method.GetOptions()).idempotency_level in _REPEATABLE
        )

    def dress(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """Deadline, credential and trace onto a call."""
        left = remaining_s()
        wanted = details.timeout if details.timeout is not None else DEFAULT_TIMEOUT_S
        timeout = wanted if left is None else max(0.0, min(wanted, left - MARGIN_S))
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata["authorization"] = f"Bearer {self._identity.token()}"
        traceparent = telemetry.current_traceparent()
        if traceparent and "traceparent" not in metadata:
            metadata["traceparent"] = traceparent
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _Unary(UnaryInterceptor):
    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        tries = 1 + (RETRIES if _name(client_call_details.method) in self._caller.repeatable else 0)
        while True:
            tries -= 1
            call = await continuation(self._caller.dress(client_call_details), request)
            if not tries or await call.code() is not grpc.StatusCode.UNAVAILABLE:
                return call
            await asyncio.sleep(_BACKOFF_S * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret


class _Streaming(StreamInterceptor):
    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._caller.dress(client_call_details), request)


def _name(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
