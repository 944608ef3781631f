"""An ASGI app on a port, inside the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import uvicorn


class _QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the process's `__main__` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving_http(
    app: Any,
    bind: str,
    *,
    http: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
    grace_s: float = 10.0,
    keep_alive_s: int = 75,
) -> AsyncIterator[int]:
    """Serve `app` on `host:port` (port 0: a free one); yields the port, finishes what is in flight at the end.

    `http` may be a protocol class of one's own.
    """
    listener = _listen(bind)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="none",
        ws="none",
        timeout_graceful_shutdown=int(grace_s),
        server_header=False,
        proxy_headers=False,
        http=http,
        timeout_keep_alive=keep_alive_s,
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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(2048)
    return listener
