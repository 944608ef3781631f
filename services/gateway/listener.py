"""The gateway's HTTP port: uvicorn, with a client's connection bounded before there is a request."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.answers import CLOSING, Answer, refused
from services.gateway.app import CORRELATION_ID
from services.gateway.refusals import HeadersTooLarge, HttpMalformed, RequestTooSlow
from venus_kit.http import serving_http

_HEAD_BYTES: Final = 64 * 1024
_HEAD_S: Final = 10.0


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


def listening(app: Any, bind: str, *, grace_s: float) -> AbstractAsyncContextManager[int]:
    """Serve `app` on `host:port` (port 0: a free one); gives the port, finishes what is in flight at the end."""
    return serving_http(app, bind, grace_s=grace_s, http=Connection)
