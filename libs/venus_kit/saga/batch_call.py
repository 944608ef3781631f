"""One batch RPC for many sagas, and what its outcomes mean."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import grpc.aio

from venus_kit.grpc_status import refusal_of
from venus_kit.saga.outcome import Done, Outcome, Refused, Unknown

_DOWN: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_DOWN_CODES: Final = tuple(code.value[0] for code in _DOWN)


async def ask_all(
    rpc: Callable[..., Awaitable[Any]],
    request: Any,
    facts: Callable[[Any], Mapping[str, Any]],
    *,
    budget_s: float,
) -> list[Outcome]:
    """Call a batch RPC; an outcome per item: `facts(reply)`, a refusal, or unknown when no reply came.

    A call that fails as a whole is unknown for every item: what it did nobody can tell from here.
    """
    try:
        response = await rpc(request, timeout=budget_s)
    except grpc.aio.AioRpcError as error:
        unknown = Unknown(f"{error.code().name}: {error.details()}", down=error.code() in _DOWN)
        return [unknown] * len(request.items)
    return [_outcome(answer, facts) for answer in response.outcomes]


def _outcome(answer: Any, facts: Callable[[Any], Mapping[str, Any]]) -> Outcome:
    if answer.HasField("reply"):
        return Done(facts(answer.reply))
    refusal = refusal_of(answer.error)
    if refusal is not None:
        return Refused(refusal)
    return Unknown(f"code {answer.error.code}: {answer.error.message}", down=answer.error.code in _DOWN_CODES)


def no_facts(_: Any) -> Mapping[str, Any]:
    """For replies that later steps need nothing of."""
    return {}
