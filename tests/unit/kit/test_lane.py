"""The lane shares runs between callers and answers each by itself."""

import asyncio
from collections.abc import Sequence

import pytest

from venus_kit.errors import TooBusy
from venus_kit.lane import Lane


class Echo:
    """Answers twice the item; remembers its batches; waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def run(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.gate.wait()
        return [ValueError(f"{item}") if item < 0 else item * 2 for item in items]


async def test_callers_that_meet_share_the_next_run() -> None:
    echo = Echo()
    lane = Lane(echo.run, name="echo")
    callers = [asyncio.create_task(lane.run(item)) for item in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    echo.gate.set()
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8]
    assert len(echo.batches) <= 2, "the first may run alone, the rest must share"


async def test_a_batch_never_exceeds_its_bound() -> None:
    echo = Echo()
    echo.gate.set()
    lane = Lane(echo.run, name="echo", max_batch=3)
    assert await lane.run_all(list(range(10))) == [item * 2 for item in range(10)]
    assert max(len(batch) for batch in echo.batches) <= 3


async def test_one_bad_item_fails_alone() -> None:
    echo = Echo()
    echo.gate.set()
    lane = Lane(echo.run, name="echo")
    first, bad, last = await lane.run_all([1, -2, 3])
    assert (first, last) == (2, 6)
    assert isinstance(bad, ValueError)
    with pytest.raises(ValueError, match="-7"):
        await lane.run(-7)


async def test_a_caller_that_goes_away_does_not_stop_the_run_of_the_others() -> None:
    echo = Echo()
    lane = Lane(echo.run, name="echo")
    impatient = asyncio.create_task(lane.run(1))
    patient = asyncio.create_task(lane.run(2))
    await asyncio.sleep(0.01)
    impatient.cancel()
    await asyncio.sleep(0)
    echo.gate.set()
    assert await patient == 4
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_what_waits_is_bounded() -> None:
    echo = Echo()
    lane = Lane(echo.run, name="echo", max_waiting=2)
    callers = [asyncio.create_task(lane.run(item)) for item in range(2)]
    await asyncio.sleep(0.01)
    more = [asyncio.create_task(lane.run(item)) for item in range(3)]
    await asyncio.sleep(0.01)
    echo.gate.set()
    answers = await asyncio.gather(*callers, *more, return_exceptions=True)
    assert sum(isinstance(answer, TooBusy) for answer in answers) == 1


async def test_a_run_that_raises_answers_every_caller() -> None:
    async def broken(items: Sequence[int]) -> list[int]:
        raise RuntimeError("broken")

    lane = Lane(broken, name="broken")
    answers = await asyncio.gather(lane.run(1), lane.run(2), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["broken", "broken"]


async def test_wrong_number_of_answers_is_a_bug_for_every_caller() -> None:
    async def short(items: Sequence[int]) -> list[int]:
        return [0] * (len(items) - 1)

    with pytest.raises(RuntimeError, match="0 answers for 1 items"):
        await Lane(short, name="short").run(1)
