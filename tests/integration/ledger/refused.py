"""What a failed call or item says, in short."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError

from venus_kit.errors import ToldRefusal
from venus_kit.grpc_status import grpc_code, refusal_of, status_of_rpc_error


def reason_of(status: Status) -> tuple[str, str]:
    """(code, reason), such as ("NOT_FOUND", "ACCOUNT_NOT_FOUND")."""
    return grpc_code(status).name, told_in(status).reason


def told_in(status: Status) -> ToldRefusal:
    """The refusal that a status carries."""
    refusal = refusal_of(status)
    assert refusal is not None, status
    return refusal


@asynccontextmanager
async def refuses(code: str, reason: str) -> AsyncIterator[None]:
    """The block makes one call, and it is refused."""
    with pytest.raises(AioRpcError) as caught:
        yield
    assert reason_of(status_of_rpc_error(caught.value)) == (code, reason)
