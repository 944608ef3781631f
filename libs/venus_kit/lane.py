"""The lane: callers that meet while it is busy share the next run, and each gets its own answer.

At low load an item starts at once, alone; under load batches grow by themselves. The same idea wherever many
calls meet one slow thing: a hot row, a transaction, an RPC.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

from venus_kit.errors import TooBusy

Item = TypeVar("Item")
Reply = TypeVar("Reply")


class Lane(Generic[Item, Reply]):
    """Collects items while `slots` runs are under way, then runs what has come as one batch."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Reply | Exception]]],
        *,
        name: str,
        max_batch: int = 256,
        slots: int = 1,
        max_waiting: int = 10_000,
    ) -> None:
        """Make a lane over `run`, which answers each item in order with a reply or an exception."""
        self.name = name
        self._run = run
        self._max_batch = max_batch
        self._free_slots = slots
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Reply]]] = deque()
        self._context = contextvars.copy_context()
        self._runs: set[asyncio.Task[None]] = set()

    async def run(self, item: Item) -> Reply:
        """Run one item; raises what it was answered with when that is an exception.

        The work goes on when the caller is cancelled: other callers share it.
        """
        return await asyncio.shield(self.enter(item))

    async def run_all(self, items: Sequence[Item]) -> list[Reply | Exception]:
        """Run items together where possible; answers in their order, exceptions as values."""
        entered: list[asyncio.Future[Reply] | TooBusy] = []
        for item in items:
            try:
                entered.append(self.enter(item))
            except TooBusy as full:
                entered.append(full)
        answers = await asyncio.shield(
            asyncio.gather(*(e for e in entered if not isinstance(e, TooBusy)), return_exceptions=True)
        )
        rest = iter(answers)
        return [e if isinstance(e, TooBusy) else _as_outcome(next(rest)) for e in entered]

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._runs)

    @property
    def waiting(self) -> int:
        """Items that wait for a run."""
        return len(self._waiting)

    async def close(self) -> None:
        """Wait until everything that entered is answered."""
        while self._runs:
            await asyncio.gather(*self._runs, return_exceptions=True)

    def enter(self, item: Item) -> asyncio.Future[Reply]:
        """Put an item in without waiting for its answer. Errors: TooBusy when too much waits already."""
        if len(self._waiting) >= self._max_waiting:
            raise TooBusy(retry_after_s=1.0, lane=self.name)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._waiting.append((item, future))
        if self._free_slots:
            self._free_slots -= 1
            # not the caller's context: the run belongs to all, so no single one's deadline or trace may bind it
            task = asyncio.create_task(self._drain(), name=f"lane {self.name}", context=self._context.copy())
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)
        return future

    async def _drain(self) -> None:
        """Hold one slot until nothing waits."""
        try:
            while self._waiting:
                size = min(len(self._waiting), self._max_batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                await self._run_batch(batch)
        finally:
            self._free_slots += 1

    async def _run_batch(self, batch: list[tuple[Item, asyncio.Future[Reply]]]) -> None:
        replies: Sequence[Reply | BaseException]
        try:
            replies = await self._run([item for item, _ in batch])
            if len(replies) != len(batch):
                replies = [RuntimeError(f"lane {self.name}: {len(replies)} answers for {len(batch)} items")] * len(
                    batch
                )
        except BaseException as error:  # every caller must be answered, whatever happened
            replies = [error] * len(batch)
            if not isinstance(error, Exception):
                _settle(batch, replies)
                raise
        _settle(batch, replies)


def _settle(batch: Sequence[tuple[Item, asyncio.Future[Reply]]], replies: Sequence[Reply | BaseException]) -> None:
    for (_, future), reply in zip(batch, replies, strict=True):
        if future.done():
            continue
        if isinstance(reply, asyncio.CancelledError):
            future.cancel()
        elif isinstance(reply, BaseException):
            future.set_exception(reply)
        else:
            future.set_result(reply)


def _retrieve(future: asyncio.Future[Reply]) -> None:
    """Mark an exception as seen: a caller that went away must not leave a warning behind."""
    if not future.cancelled():
        future.exception()


def _as_outcome(answer: Reply | BaseException) -> Reply | Exception:
    if isinstance(answer, BaseException) and not isinstance(answer, Exception):
        raise answer
    return cast("Reply | Exception", answer)
