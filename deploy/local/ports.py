"""Ports that nobody uses now, and that no other stack of this machine takes before their servers listen on them."""

import random
import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_LOWEST, _HIGHEST = 15_000, 32_000  # below Linux's ephemeral range, so that no outgoing connection takes one meanwhile
_TRIES: Final = 1_000


def take(port: int, kept: ExitStack) -> bool:
    """Take this TCP port of the loopback until `kept` is closed; False when somebody has it, or is about to."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0venus.port.{port}")  # an abstract name: no file, and gone with this process
    except OSError:
        claim.close()
        return False
    if not _is_free(port):
        claim.close()
        return False
    kept.enter_context(claim)
    return True


def free_ports(count: int, kept: ExitStack) -> list[int]:
    """Take `count` free TCP ports of the loopback until `kept` is closed. Errors: OSError when there are none."""
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            return found
        port = random.randrange(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if take(port, kept):
            found.append(port)
    raise OSError(f"no {count} free ports between {_LOWEST} and {_HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free enough
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1)  # SO_REUSEADDR alone would let two sockets share a port that nobody listens on yet
        except OSError:
            return False
        return True
