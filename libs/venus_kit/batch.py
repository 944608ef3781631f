"""The door of every batch RPC: each item is checked, run and answered by itself, all in one run."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from prometheus_client import Counter, Histogram

from venus_kit import telemetry
from venus_kit.errors import Poison, Refusal, Weather
from venus_kit.grpc_status import grpc_code, status_of
from venus_kit.validation import Validation

ITEMS = Counter("venus_batch_items_total", "Items answered, by RPC and code", ["method", "code"])
SIZES = Histogram("venus_batch_size", "Items in one batch", ["method"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))

Wanted = TypeVar("Wanted")
Got = TypeVar("Got")
Outcome = TypeVar("Outcome")


class BatchDoor:
    """Serves batch RPCs of one service."""

    def __init__(self, validation: Validation) -> None:
        """Check items against their protos' rules with `validation`."""
        self._validation = validation

    async def serve(
        self,
        items: Sequence[Any],
        outcome_type: Callable[..., Outcome],
        *,
        name: str,
        read: Callable[[Any], Wanted],
        run: Callable[[Sequence[Wanted]], Awaitable[Sequence[Got | Exception]]],
        write: Callable[[Got], Any],
    ) -> list[Outcome]:
        """One outcome per item, in order: `outcome_type(reply=..)` or `outcome_type(error=google.rpc.Status)`.

        `read` turns an item (context and request) into the operation's value, `run` answers many of them in one
        transaction, `write` turns an answer into the RPC's reply.
        """
        SIZES.labels(name).observe(len(items))
        with telemetry.item_spans(name, [item.context.traceparent for item in items]):
            answers = self._read_all(items, read)
            good = [value for value in answers if not isinstance(value, Exception)]
            ran = iter(await run(good) if good else [])
            merged: list[Got | Exception] = [value if isinstance(value, Exception) else next(ran) for value in answers]
            for error in {id(answer): answer for answer in merged if isinstance(answer, Exception)}.values():
                report_error(error, name)
        return [self._outcome(name, answer, outcome_type, write) for answer in merged]

    def _read_all(self, items: Sequence[Any], read: Callable[[Any], Wanted]) -> list[Wanted | Exception]:
        values: list[Wanted | Exception] = []
        for item in items:
            try:
                self._validation.check_item(item)
                values.append(read(item))
            except Refusal as refusal:
                values.append(refusal)
        return values

    def _outcome(
        self,
        name: str,
        answer: Got | Exception,
        outcome_type: Callable[..., Outcome],
        write: Callable[[Got], Any],
    ) -> Outcome:
        if not isinstance(answer, Exception):
            ITEMS.labels(name, "OK").inc()
            return outcome_type(reply=write(cast("Got", answer)))
        status = status_of(answer)
        ITEMS.labels(name, grpc_code(status).name).inc()
        return outcome_type(error=status)


def report_error(error: BaseException, rpc: str) -> None:
    """Refusals are answers, weather is a warning, everything else is a bug and goes to Sentry."""
    if isinstance(error, Refusal):
        return
    if isinstance(error, Weather):
        telemetry.weather(error)
    else:
        telemetry.report(error.__cause__ or error if isinstance(error, Poison) else error, rpc=rpc)
