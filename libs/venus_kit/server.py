"""One way to start a gRPC service: health, reflection, access, field rules, errors, spans, metrics and a clean end."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram, make_asgi_app  # pyright: ignore[reportUnknownVariableType] - its Callable is bare

from venus_kit import telemetry
from venus_kit.access import AccessRules, Caller, Person, Rule, set_caller
from venus_kit.batch import report_error
from venus_kit.deadline import set_remaining
from venus_kit.errors import NotSignedIn
from venus_kit.grpc_status import grpc_code, status_of
from venus_kit.http import serving_http
from venus_kit.identity import ASSERTION_KEY, AssertionVerifier, PublicKeys, ServiceVerifier
from venus_kit.settings import ServiceSettings
from venus_kit.validation import Validation

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # the library's class takes parameters in its stubs only
    Interceptor = grpc.aio.ServerInterceptor

HANDLED: Final = Counter("grpc_server_handled_total", "RPCs answered, by method and code", ["method", "code"])
SECONDS: Final = Histogram("grpc_server_handling_seconds", "Time to answer an RPC", ["method"])

OPEN_SERVICES: Final = ("/grpc.health.v1.", "/grpc.reflection.")
DEFAULT_BUDGET_S: Final = 30.0
MESSAGE_BYTES: Final = 16 * 1024 * 1024
READY_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service to serve: its generated registration function, its handlers, its descriptor."""

    register: Callable[[Any, Any], None]
    handlers: Any
    descriptor: ServiceDescriptor


@dataclass(frozen=True, slots=True)
class Running:
    """A service that is up."""

    grpc_port: int
    metrics_port: int


class Door(Interceptor):
    """The one interceptor: knows the caller, enforces access and field rules, turns errors into statuses."""

    def __init__(self, rules: AccessRules, keys: PublicKeys, validation: Validation) -> None:
        """Enforce `rules` on callers who prove themselves with `keys`."""
        self._rules = rules
        self._services = ServiceVerifier(keys)
        self._people = AssertionVerifier(keys)
        self._validation = validation
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any] | None] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler of a method once; gRPC asks for it at every call."""
        path: str = handler_call_details.method
        if path in self._wrapped:
            return self._wrapped[path]
        handler = await continuation(handler_call_details)
        if handler is None or path.startswith(OPEN_SERVICES):
            return handler
        self._wrapped[path] = self._wrap(self._rules[path], handler)
        return self._wrapped[path]

    def _wrap(self, rule: Rule, handler: Any) -> Any:
        make = cast("Any", grpc)  # the stubs leave the handlers' types open
        if handler.response_streaming:
            return make.unary_stream_rpc_method_handler(
                self._streaming(rule, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return make.unary_unary_rpc_method_handler(
            self._unary(rule, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, rule: Rule, handle: Any) -> Any:
        async def serve(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            error: Exception | None = None
            with telemetry.server_span(rule.method, _metadata(context).get("traceparent", "")) as span:
                try:
                    async with asyncio.timeout(_admit_budget(context)):
                        self._admit(rule, request, context)
                        return await handle(request, context)
                except Exception as caught:
                    error = caught
                    span.fail(caught)
                    await _abort(context, rule.method, caught)
                finally:
                    _count(rule.method, error, started)

        return serve

    def _streaming(self, rule: Rule, handle: Any) -> Any:
        async def serve(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            started = time.perf_counter()
            error: Exception | None = None
            try:
                _admit_budget(context)
                self._admit(rule, request, context)
                async for reply in handle(request, context):
                    yield reply
            except Exception as caught:
                error = caught
                await _abort(context, rule.method, caught)
            finally:
                _count(rule.method, error, started)

        return serve

    def _admit(self, rule: Rule, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Let the call in, or raise why not: who calls, may they, is the request well-formed."""
        metadata = _metadata(context)
        service = self._services.service(metadata.get("authorization", "").removeprefix("Bearer "))
        rule.check_service(service)
        person: Person | None = None
        if rule.for_people:
            assertion = metadata.get(ASSERTION_KEY, "")
            person = self._people.person(assertion) if assertion else None
            if not rule.item_stores:  # each item of a batch brings its own person
                rule.check_person(person, request)
        set_caller(Caller(service, person))
        self._validation.check(request)

    def admit_item(self, rule: Rule, item: Any) -> Person:
        """Let one item of a USER batch in, or raise why not, as for a call of its own; answers whose it is."""
        self._validation.check_item(item)
        if not item.context.assertion:
            raise NotSignedIn
        person = self._people.person(item.context.assertion)
        rule.check_item(person, item)
        return person


def _metadata(context: grpc.aio.ServicerContext[Any, Any]) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _admit_budget(context: grpc.aio.ServicerContext[Any, Any]) -> float:
    """Seconds this call may take: what the caller waits, or a default when it did not say."""
    remaining = cast("float | None", context.time_remaining())
    budget = DEFAULT_BUDGET_S if remaining is None else min(remaining, DEFAULT_BUDGET_S)
    set_remaining(budget)
    return budget


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> None:
    if isinstance(error, TimeoutError):
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The caller's time is up.")
    report_error(error, method)
    await cast("Any", context).abort_with_status(rpc_status.to_status(status_of(error)))  # missing in the stubs


def _count(method: str, error: Exception | None, started: float) -> None:
    if error is None:
        code = "OK"
    elif isinstance(error, TimeoutError):
        code = grpc.StatusCode.DEADLINE_EXCEEDED.name
    else:
        code = grpc_code(status_of(error)).name
    HANDLED.labels(method, code).inc()
    SECONDS.labels(method).observe(time.perf_counter() - started)


@contextlib.asynccontextmanager
async def serving(
    settings: ServiceSettings,
    *,
    door: Door,
    servicers: Sequence[Servicer],
    ready: Callable[[], Awaitable[bool]],
) -> AsyncIterator[Running]:
    """Serve until the block ends; then say NOT_SERVING, let callers see it, and finish what is in flight."""
    server: grpc.aio.Server = cast("Any", grpc.aio).server(
        interceptors=[door],
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
    )
    for servicer in servicers:
        servicer.register(servicer.handlers, server)
    names = [servicer.descriptor.full_name for servicer in servicers]
    readiness = Readiness(ready, names)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.health, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    grpc_port = server.add_insecure_port(settings.grpc_bind)
    await server.start()
    watcher = asyncio.create_task(readiness.watch(), name="readiness")
    try:
        async with serving_http(readiness.app(), settings.metrics_bind) as metrics_port:
            yield Running(grpc_port, metrics_port)
            await readiness.leave()
            await asyncio.sleep(settings.drain_s)
            await server.stop(settings.grace_s)
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await server.stop(0)


class Readiness:
    """Whether this service can work: its own database, not its neighbours', else one outage takes all down."""

    def __init__(self, ready: Callable[[], Awaitable[bool]], names: Sequence[str]) -> None:
        """`ready` asks the own database; `names` are the gRPC services to speak for."""
        self._ready = ready
        self._names = ("", *names)
        self._leaving = False
        self._up = False
        self.health: Any = cast("Any", health).aio.HealthServicer()  # missing in the stubs

    async def watch(self) -> None:
        """Ask again and again, and tell gRPC health."""
        while True:
            await self._tell(await self._ask())
            await asyncio.sleep(READY_EVERY_S)

    async def leave(self) -> None:
        """Say NOT_SERVING for good: no new calls, please."""
        self._leaving = True
        await self._tell(up=False)

    async def _ask(self) -> bool:
        try:
            return await self._ready()
        except Exception as error:  # a database that is down must not end the watch
            report_error(error, "readiness")
            return False

    async def _tell(self, up: bool) -> None:
        self._up = up and not self._leaving
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if self._up else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self.health.set(name, status)

    def app(self) -> Asgi:
        """ASGI: `/metrics`, `/healthz` (the process lives), `/readyz` (it can work)."""
        metrics = cast("Asgi", make_asgi_app())

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/metrics":
                await metrics(scope, receive, send)
                return
            code = {"/healthz": 200, "/readyz": 200 if self._up else 503}.get(scope["path"], 404)
            body = b"ok\n" if code == 200 else b"not ready\n" if code == 503 else b"not found\n"
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": code, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return serve
