"""The gateway as a raw ASGI app: one request in, one answer out, always with its trace id.

There is no web framework below: what one would do for every request is done once, at the start, from the protos.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from prometheus_client import Counter, Histogram

from services.gateway.answers import JSON, Answer, failed, refused
from services.gateway.auth import Doorkeeper
from services.gateway.calls import Asker, Told
from services.gateway.endpoints import Endpoint
from services.gateway.limits import CallerLeft, Heading, Limits, Receive, check_url, heading_of, patience_s, read_body
from services.gateway.refusals import AnswerLost, BodyNotTaken, MethodNotAllowed
from services.gateway.routes import RouteTable, allow_header
from venus_kit import telemetry
from venus_kit.errors import Refusal
from venus_kit.grpc_status import status_of
from venus_kit.identity import AssertionSigner

REQUESTS: Final = Counter("http_requests_total", "HTTP requests answered, by RPC and gRPC code.", ["method", "code"])
SECONDS: Final = Histogram("http_request_duration_seconds", "Time to answer an HTTP request, by RPC.", ["method"])

CORRELATION_ID: Final = b"x-correlation-id"
NO_RPC: Final = "none"
"""Stands for the RPC where there is none: a path, which holds ids, is never a label."""

Send = Callable[[Any], Awaitable[None]]

_HEALTH_PATHS: Final = frozenset({b"/healthz", b"/readyz"})
_NOBODY: Final = Answer(499, b"", outcome="CANCELLED")
_RETRY_AFTER_S: Final = 1.0
_log = logging.getLogger("venus.gateway")


class Gateway:
    """The ASGI app."""

    def __init__(
        self,
        table: RouteTable[Endpoint],
        doorkeeper: Doorkeeper,
        signer: AssertionSigner,
        limits: Limits,
        *,
        slow_s: float,
    ) -> None:
        """Serve the endpoints in `table` to people whom `doorkeeper` knows; answers later than `slow_s` are logged."""
        self._table = table
        self._doorkeeper = doorkeeper
        self._signer = signer
        self._limits = limits
        self._slow_s = slow_s
        self._leaving = False

    def leave(self) -> None:
        """Say from now on that no new request should come."""
        self._leaving = True

    @property
    def is_ready(self) -> bool:
        """Whether requests are welcome: its own readiness, not its neighbours'."""
        return not self._leaving

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started_s = time.perf_counter()
        heading, trouble = self._heading(scope)
        with telemetry.server_span(scope["method"], heading.traceparent) as span:
            visit = _Visit(scope, heading, receive)
            answer = await self._answer(visit, trouble, span)
            span.name(visit.name)
            trace_id = telemetry.current_trace_id()
            await _send(send, answer, trace_id)
            self._count(visit.name, answer, time.perf_counter() - started_s)

    def _heading(self, scope: Any) -> tuple[Heading, Refusal | None]:
        """What was read of the header fields; a refusal is told later, when there is a trace to tell it in."""
        try:
            return heading_of(scope["headers"], self._limits), None
        except Refusal as refusal:
            return Heading(), refusal

    async def _answer(self, visit: "_Visit", trouble: Refusal | None, span: telemetry.ServerSpan) -> Answer:
        try:
            if trouble is not None:
                raise trouble
            return await self._serve(visit)
        except Refusal as refusal:
            span.fail(refusal)
            return refused(refusal)
        except Told as told:
            return failed(told.status)
        except CallerLeft:
            return _NOBODY
        except asyncio.CancelledError:  # the process ends and can wait no longer; the task ends with this answer
            return refused(AnswerLost(retry_after_s=_RETRY_AFTER_S))
        except Exception as error:  # noqa: BLE001  HTTP's interceptor: whatever happens, there is an answer
            span.fail(error)
            telemetry.report(error, rpc=visit.name)
            return failed(status_of(error))

    async def _serve(self, visit: "_Visit") -> Answer:
        check_url(visit.raw_path, visit.query, self._limits)
        if visit.raw_path in _HEALTH_PATHS:
            return self._health(visit)
        if visit.verb == "OPTIONS":
            return Answer(204, b"", (*JSON, (b"allow", self._table.allowed(visit.raw_path).encode())))
        verb = "GET" if visit.verb == "HEAD" else visit.verb
        endpoint, variables = self._table.find(verb, visit.raw_path)
        visit.name = endpoint.name
        person = self._doorkeeper.person(visit.heading.authorization)
        patience = patience_s(visit.heading, self._limits)
        body = await self._body(visit, endpoint)
        request = endpoint.reader.read(variables, visit.query, body)
        endpoint.rule.check_person(person, request)
        asker = Asker(self._signer.assertion(person), telemetry.current_traceparent(), patience)
        reply = await endpoint.call(request, asker)
        return Answer(endpoint.writer.http_code(reply), endpoint.writer.body(reply))

    async def _body(self, visit: "_Visit", endpoint: Endpoint) -> bytes:
        if endpoint.reader.takes_body:
            return await read_body(visit.receive, visit.heading, self._limits)
        if visit.heading.announces_body:
            raise BodyNotTaken
        return b""

    def _health(self, visit: "_Visit") -> Answer:
        """`/healthz`: the process lives. `/readyz`: it wants requests."""
        if visit.verb not in ("GET", "HEAD"):
            raise MethodNotAllowed(allow_header({"GET"}))
        if visit.raw_path == b"/healthz" or self.is_ready:
            return Answer(200, b'{"status":"ok"}')
        return Answer(503, b'{"status":"leaving"}', outcome="UNAVAILABLE")

    def _count(self, rpc: str, answer: Answer, took_s: float) -> None:
        """Into the metrics; a line is written only of what somebody should look at."""
        REQUESTS.labels(rpc, answer.outcome).inc()
        SECONDS.labels(rpc).observe(took_s)
        if answer.http_code >= 500 or took_s > self._slow_s:
            facts = {"rpc": rpc, "outcome": answer.outcome, "took_ms": round(took_s * 1000)}
            _log.warning("answered %d", answer.http_code, extra=facts)


class _Visit:
    """One request on its way through."""

    __slots__ = ("heading", "name", "query", "raw_path", "receive", "verb")

    def __init__(self, scope: Any, heading: Heading, receive: Receive) -> None:
        self.verb: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.heading = heading
        self.receive = receive
        self.name = NO_RPC


async def _send(send: Send, answer: Answer, trace_id: str) -> None:
    headers = [*answer.headers, (CORRELATION_ID, trace_id.encode())]
    if answer.http_code != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.http_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
