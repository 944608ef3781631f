"""Concurrent calls of one RPC, gathered into its server-streaming batch form and answered one by one.

A call that comes while little is under way is sent at once, alone. While the slots are taken calls collect, and the
next free slot sends them together. A slot is free again as soon as its batch begins to be answered, or a moment
later: nobody waits for the slowest of an earlier batch.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from services.gateway.calls import Asker, NeighbourBroken, Told, failure_of
from services.gateway.refusals import AnswerLate, AnswerLost, NeighbourUnavailable
from venus.type.v1.item_context_pb2 import ItemContext
from venus_kit import telemetry
from venus_kit.access import path_of
from venus_kit.errors import TooBusy
from venus_kit.grpc_status import status_of

ANSWER_MARGIN_S: Final = 1.0
"""So much longer than its caller's patience an answer is waited for: the other side says PENDING when it ends."""
_RETRY_AFTER_S: Final = 1.0
_PASSES: Final = frozenset(
    {code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE, code_pb2.DEADLINE_EXCEEDED, code_pb2.INTERNAL}
)
"""What a whole batch may be told; anything else says that it was composed wrongly, which is no till's fault."""


@dataclass(frozen=True, slots=True)
class GatherLimits:
    """How calls are gathered."""

    slots: int = 2
    hold_s: float = 0.02
    max_batch: int = 256
    max_unanswered: int = 10_000


@dataclass(frozen=True, slots=True)
class BatchShape:
    """The names of the parts of a batch RPC: items of context and request, outcomes of index and reply or error."""

    items: str
    context: str
    request: str
    outcomes: str
    index: str
    reply: str
    error: str

    @classmethod
    def find(cls, single: MethodDescriptor, batch: MethodDescriptor) -> "BatchShape":
        """Read it from the descriptors. Errors: TypeError when `batch` is no streaming batch of `single`."""
        if not batch.server_streaming or batch.client_streaming:
            raise TypeError(f"{batch.full_name} does not answer with a stream")
        items = _only(batch.input_type, lambda field: field.is_repeated)
        item = items.message_type
        outcomes = _only(batch.output_type, lambda field: field.is_repeated)
        outcome = outcomes.message_type
        if item is None or outcome is None:
            raise TypeError(f"{batch.full_name} is no batch of messages")
        return cls(
            items=items.name,
            context=_only(item, _holds(ItemContext.DESCRIPTOR)).name,
            request=_only(item, _holds(single.input_type)).name,
            outcomes=outcomes.name,
            index=_only(outcome, lambda field: field.type == FieldDescriptor.TYPE_INT32).name,
            reply=_only(outcome, _holds(single.output_type)).name,
            error=_only(outcome, _holds(Status.DESCRIPTOR)).name,
        )


def _only(descriptor: Descriptor, fits: Callable[[FieldDescriptor], bool]) -> FieldDescriptor:
    found = [field for field in descriptor.fields if fits(field)]
    if len(found) != 1:
        raise TypeError(f"{descriptor.full_name} does not have the shape of a batch")
    return found[0]


def _holds(wanted: Descriptor) -> Callable[[FieldDescriptor], bool]:
    return lambda field: field.message_type is not None and field.message_type.full_name == wanted.full_name


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One call that wants its answer."""

    request: Message
    asker: Asker
    deadline_at_s: float
    answer: asyncio.Future[Message]


class Gathering:
    """Serves the calls of one RPC together."""

    def __init__(
        self, channel: grpc.aio.Channel, single: MethodDescriptor, batch: MethodDescriptor, limits: GatherLimits
    ) -> None:
        """Serve calls of `single` by `batch` over `channel`."""
        self._name = batch.name
        self._shape = BatchShape.find(single, batch)
        self._batch_type: Any = GetMessageClass(batch.input_type)
        self._stream: Callable[..., AsyncIterable[Message]] = cast("Any", channel).unary_stream(
            path_of(batch),
            request_serializer=self._batch_type.SerializeToString,
            response_deserializer=GetMessageClass(batch.output_type).FromString,
        )
        self._limits = limits
        self._free_slots = limits.slots
        self._waiting: deque[_Waiting] = deque()
        self._unanswered = 0
        self._start_is_due = False
        self._context = contextvars.copy_context()
        self._runs: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Message, asker: Asker) -> Message:
        """The reply. What was sent goes on when the caller is cancelled. Errors: Refusal, Told, NeighbourBroken."""
        if self._unanswered >= self._limits.max_unanswered:
            raise TooBusy(retry_after_s=_RETRY_AFTER_S)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, asker, loop.time() + asker.patience_s, loop.create_future())
        self._waiting.append(waiting)
        self._start_soon()
        self._unanswered += 1
        try:
            async with asyncio.timeout(asker.patience_s + ANSWER_MARGIN_S):
                return await waiting.answer
        except TimeoutError as error:
            raise AnswerLate(retry_after_s=_RETRY_AFTER_S) from error
        finally:
            self._unanswered -= 1

    async def close(self) -> None:
        """Let go of the streams: nobody waits for them any more, and what was sent goes on without us."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    def _start_soon(self) -> None:
        """Start after the callbacks that are due now: calls that came in one breath go in one batch."""
        if self._free_slots and not self._start_is_due:
            self._start_is_due = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._start_is_due = False
        while self._waiting and self._free_slots:
            size = min(len(self._waiting), self._limits.max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            batch = [waiting for waiting in batch if not waiting.answer.done()]
            if not batch:
                continue
            self._free_slots -= 1
            # not the caller's context: the batch belongs to all, so no single one's trace may bind it
            run = asyncio.create_task(self._run(batch), name="gathered", context=self._context.copy())
            self._runs.add(run)
            run.add_done_callback(self._ended)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if not run.cancelled() and (error := run.exception()) is not None:
            telemetry.report(error)

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        """Send one batch and hand out its answers as they come."""
        slot = _Slot(self._free_slot)
        timer = asyncio.get_running_loop().call_later(self._limits.hold_s, slot.leave)
        left: Exception = AnswerLost(retry_after_s=_RETRY_AFTER_S)
        try:
            message, timeout_s = self._compose(batch)
            async for group in self._stream(message, timeout=timeout_s):
                slot.leave()
                self._hand_out(batch, group)
        except grpc.aio.AioRpcError as error:
            left = self._what_is_left(failure_of(error), error)
        finally:
            timer.cancel()
            slot.leave()
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(left)

    def _what_is_left(self, failure: Exception, error: grpc.aio.AioRpcError) -> Exception:
        """What the unanswered are told when their stream broke: to ask again, unless that cannot help."""
        if isinstance(failure, AnswerLate) or (isinstance(failure, Told) and failure.status.code in _PASSES):
            return failure
        if isinstance(failure, NeighbourUnavailable):
            telemetry.weather(error, rpc=self._name)
            return AnswerLost(retry_after_s=_RETRY_AFTER_S)
        telemetry.report(failure, rpc=self._name, code=error.code().name)  # once for all of them
        return Told(status_of(failure))

    def _free_slot(self) -> None:
        self._free_slots += 1
        if self._waiting:
            self._start_soon()

    def _compose(self, batch: Sequence[_Waiting]) -> tuple[Message, float]:
        """The batch request, and the seconds after which no answer can come any more."""
        now_s = asyncio.get_running_loop().time()
        message = self._batch_type()
        items = getattr(message, self._shape.items)
        longest_s = 0.0
        for waiting in batch:
            patience_s = max(0.0, waiting.deadline_at_s - now_s)
            longest_s = max(longest_s, patience_s)
            budget = Duration()
            budget.FromMicroseconds(int(patience_s * 1e6))
            context = ItemContext(
                traceparent=waiting.asker.traceparent, assertion=waiting.asker.assertion, budget=budget
            )
            items.add(**{self._shape.context: context, self._shape.request: waiting.request})
        return message, longest_s + ANSWER_MARGIN_S

    def _hand_out(self, batch: Sequence[_Waiting], group: Any) -> None:
        for outcome in getattr(group, self._shape.outcomes):
            answer = batch[cast("int", getattr(outcome, self._shape.index))].answer
            if answer.done():
                continue
            if outcome.HasField(self._shape.reply):
                answer.set_result(getattr(outcome, self._shape.reply))
            elif outcome.HasField(self._shape.error):
                answer.set_exception(Told(getattr(outcome, self._shape.error)))
            else:
                answer.set_exception(NeighbourBroken("an outcome that says nothing"))


class _Slot:
    """One place among the batches under way; left once, by whoever comes first."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def leave(self) -> None:
        if self._free is not None:
            free, self._free = self._free, None
            free()
