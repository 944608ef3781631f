"""`./venus up`: the stack with its progress, its first sale, and its end."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncpg import PostgresError
from grpc.aio import AioRpcError

from deploy.local.demo import SALE_STORE_ID, await_end, sell
from deploy.local.footing import LocalServerError
from deploy.local.home import Home, held
from deploy.local.programs import SERVICES
from deploy.local.receipt import print_receipt
from deploy.local.stack import Stack, running_stack
from deploy.local.startup import Progress, StackFailed
from deploy.local.waterfall import TraceSpan, as_json, await_trace, draw, orphans
from deploy.local.web import Json
from venus_kit.ids import new_id
from venus_kit.migrate import MigrationError

_TRACE_WITHIN_S: Final = 15.0
_QUIET_LOOKS: Final = 15
_INTERRUPTED: Final = 130
_EXPECTED: Final = (StackFailed, LocalServerError, MigrationError, PostgresError, AioRpcError, OSError)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of `up` asked for."""

    once: bool = False
    as_json: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class FirstSale:
    """The demo sale and what it did."""

    sale: Json
    trace: Sequence[TraceSpan]


async def up(home: Home, wanted: Wanted) -> int:
    """Start everything, sell once, stay until told to stop; `once` does not stay. Returns the exit code.

    The first SIGINT, SIGTERM or SIGHUP drains; a second one ends everything where it stands.
    """
    progress = Progress(sys.stderr if wanted.as_json else sys.stdout)
    told_to_stop = _cancelled_by_signals()
    came_up = asyncio.Event()
    try:
        with held(home):
            if wanted.reset:
                home.start_over()
            await _live(home, wanted, progress, came_up)
    except asyncio.CancelledError:
        if not told_to_stop:
            raise
        return 0 if came_up.is_set() else _INTERRUPTED
    except _EXPECTED as failure:
        print(f"venus: {failure}", file=sys.stderr, flush=True)
        return 1
    return 0


async def _live(home: Home, wanted: Wanted, progress: Progress, came_up: asyncio.Event) -> None:
    begun = time.monotonic()
    async with running_stack(home, progress) as stack:
        with progress.step("sale"):
            first = await first_sale(stack)
        seconds = time.monotonic() - begun
        print(_as_json(stack, first, seconds) if wanted.as_json else _as_text(stack, first, seconds), flush=True)
        came_up.set()
        if not wanted.once:
            await asyncio.Event().wait()


async def first_sale(stack: Stack) -> FirstSale:
    """Sell the example basket and wait until its trace is whole. Errors: StackFailed."""
    sale = await sell(stack.gateway_url, stack.tokens["cashier"])
    whole = _Whole(await await_end(stack.gateway_url, stack.tokens["admin"], sale["saleId"]))
    trace = await await_trace(stack.collector.traces_url, sale["correlationId"], whole, within_s=_TRACE_WITHIN_S)
    return FirstSale(sale, trace)


class _Whole:
    """Whether a trace has come in whole: spans of every service, each with its parent, every step with its answer.

    Should spans and steps ever be named differently, it is whole when nothing more has come for a while.
    """

    def __init__(self, steps: frozenset[str]) -> None:
        self._steps = steps
        self._counts: list[int] = []

    def __call__(self, spans: Sequence[TraceSpan]) -> bool:
        self._counts.append(len(spans))
        quiet = len(self._counts) >= _QUIET_LOOKS and len(set(self._counts[-_QUIET_LOOKS:])) == 1
        with_children = {span.parent_id for span in spans}
        answered = {span.name for span in spans if span.span_id in with_children}
        complete = {span.service for span in spans} >= set(SERVICES) and not orphans(spans)
        return complete and (quiet or self._steps <= answered)


def _cancelled_by_signals() -> list[signal.Signals]:
    """Let signals cancel the running task; the list fills with those that came."""
    task = asyncio.current_task()
    came: list[signal.Signals] = []

    def hear(number: signal.Signals) -> None:
        came.append(number)
        if len(came) > 1 or task is None:
            os._exit(_INTERRUPTED)  # the leashes end the services, the last will the servers
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, hear, number)
    return came


def _as_json(stack: Stack, first: FirstSale, seconds: float) -> str:
    trace = as_json(first.trace)
    return json.dumps({"gateway": stack.gateway_url, "sale": first.sale, "trace": trace, "seconds": round(seconds, 3)})


def _as_text(stack: Stack, first: FirstSale, seconds: float) -> str:
    trace_id = first.sale["correlationId"]
    where = f"Jaeger: {stack.collector.web_url}/trace/{trace_id}" if stack.collector.is_jaeger else "no Jaeger here"
    return "\n".join(
        (
            "",
            print_receipt(first.sale),
            "",
            f"  Trace {trace_id} (./venus trace {trace_id}; {where})",
            "",
            draw(first.trace),
            "",
            f"  Up after {seconds:.1f} s. Ctrl-C or ./venus down stops it.",
            "",
            f"  gateway   {stack.gateway_url}",
            f"  metrics   http://{stack.addresses.metrics['gateway']}/metrics; the others: {stack.home.description}",
            f"  logs      {stack.home.logs}",
            "",
            "  Sell something yourself, as a cashier of store 1 (the same saleId again is the same sale):",
            "",
            _curl(stack),
            "",
        )
    )


def _curl(stack: Stack) -> str:
    body = {
        "saleId": str(new_id()),
        "saleType": "SALE_TYPE_POS",
        "paymentMethod": "PAYMENT_METHOD_CASH",
        "lines": [{"skuCode": "CW-001", "weightGrams": "750"}],
    }
    return (
        f"  curl -s {stack.gateway_url}/v1/stores/{SALE_STORE_ID}/sales \\\n"
        f"    -H 'Content-Type: application/json' -H 'Authorization: Bearer {stack.tokens['cashier']}' \\\n"
        f"    -d '{json.dumps(body)}'"
    )
