"""The gateway's HTTP port: uvicorn, with a client's connection bounded before there is a request."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.answers import CLOSING, Answer, refused
from services.gateway.app import CORRELATION_ID
from services.gateway.refusals import HeadersTooLarge, HttpMalformed, RequestTooSlow

_HEAD_BYTES: Final = 64 * 1024
_HEAD_S: Final = 10.0
_KEEP_ALIVE_S: Final = 75


class Connection(HttpToolsProtocol):
    """One client: its header fields must come soon and be few, and what is no HTTP gets an answer like every other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client has come: it should send something."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of an unfinished head are counted and timed."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES:
            self._refuse(refused(HeadersTooLarge(limit_bytes=_HEAD_BYTES)))
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_S, self._head_is_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words stay here
        """What came is no HTTP."""
        self._refuse(refused(HttpMalformed()))

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(refused(RequestTooSlow(limit_s=int(_HEAD_S))))
        else:
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, answer: Answer) -> None:
        correlation_id = secrets.token_hex(16).encode()
        headers = dict([*answer.headers, CLOSING, (CORRELATION_ID, correlation_id)])
        headers[b"content-length"] = b"%d" % len(answer.body)
        lines = [b"%b: %b\r\n" % header for header in headers.items()]
        self.transport.write(b"".join([STATUS_LINE[answer.http_code], *lines, b"\r\n", answer.body]))
        self.transport.close()


class _QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: `__main__` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(app: Any, bind: str, *, grace_s: float) -> AsyncIterator[int]:
    """Serve `app` on `host:port` (port 0: a free one); yields the port, finishes what is in flight at the end."""
    listener = _listen(bind)
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(grace_s),
    )
    server = _QuietServer(config)
    task = asyncio.create_task(server.serve([listener]), name=f"http {bind}")
    try:
        while not server.started:
            if task.done():
                await task
                raise RuntimeError(f"no HTTP server on {bind}")
            await asyncio.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listen(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(2048)
    return listener
