"""Ports that nobody uses now."""

import random
import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_LOWEST, _HIGHEST = 15_000, 32_000  # below Linux's ephemeral range, so that no outgoing connection takes one meanwhile
_TRIES: Final = 1_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this TCP port of the loopback."""
    with ExitStack() as held:
        return _hold(port, held)


def free_ports(count: int) -> list[int]:
    """`count` different free TCP ports of the loopback. Errors: OSError when there are none."""
    found: list[int] = []
    with ExitStack() as held:  # held together, or one could be found twice
        for _ in range(_TRIES):
            if len(found) == count:
                return found
            port = random.randrange(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
            if _hold(port, held):
                found.append(port)
    raise OSError(f"no {count} free ports between {_LOWEST} and {_HIGHEST}")


def _hold(port: int, held: ExitStack) -> bool:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free enough
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1)  # SO_REUSEADDR alone would let two sockets share a port that nobody listens on yet
    except OSError:
        return False
    return True
