"""Failpoints."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from venus_kit import failpoint
from venus_kit.errors import Weather
from venus_kit.failpoint import FailpointReached, ReplyDropped, arm, armed

LIBS = Path(failpoint.__file__).parents[1]


async def test_a_place_that_is_not_armed_does_nothing() -> None:
    await failpoint.failpoint("sale.recorded")


async def test_an_armed_place_fails_until_it_is_disarmed() -> None:
    with armed("sale.recorded", "error"), pytest.raises(FailpointReached, match=r"sale\.recorded"):
        await failpoint.failpoint("sale.recorded")
    await failpoint.failpoint("sale.recorded")


async def test_a_place_can_fail_a_number_of_times_only() -> None:
    arm("sale.recorded", "drop", times=2)
    for _ in range(2):
        with pytest.raises(ReplyDropped):
            await failpoint.failpoint("sale.recorded")
    await failpoint.failpoint("sale.recorded")


def test_a_dropped_reply_is_weather_and_never_a_no() -> None:
    assert issubclass(ReplyDropped, Weather)


async def test_a_sleep_lets_others_run() -> None:
    arm("slow", "sleep:0.05")
    started = time.monotonic()
    await asyncio.gather(*(failpoint.failpoint("slow") for _ in range(10)))
    assert 0.05 <= time.monotonic() - started < 0.4


async def test_a_test_may_hand_in_its_own_action() -> None:
    reached = asyncio.Event()

    async def tell() -> None:
        reached.set()

    with armed("here", tell):
        await failpoint.failpoint("here")
    assert reached.is_set()


async def test_the_environment_arms_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUS_FAILPOINTS", "a=error; b=drop*1;")
    failpoint.arm_from_environment()
    with pytest.raises(FailpointReached):
        await failpoint.failpoint("a")
    with pytest.raises(ReplyDropped):
        await failpoint.failpoint("b")
    await failpoint.failpoint("b")


@pytest.mark.parametrize("text", ["a", "a=explode", "a=drop*x", "a=sleep:long"])
def test_what_cannot_be_read_is_refused_at_boot(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUS_FAILPOINTS", text)
    with pytest.raises(ValueError, match=r"."):
        failpoint.arm_from_environment()


def test_a_crash_ends_the_process_without_any_clean_up() -> None:
    script = (
        "import asyncio, atexit\n"
        "from venus_kit import failpoint\n"
        "atexit.register(print, 'cleaned up')\n"
        "failpoint.arm_from_environment()\n"
        "asyncio.run(failpoint.failpoint('here'))\n"
    )
    environment = {**os.environ, "VENUS_FAILPOINTS": "here=crash", "PYTHONPATH": str(LIBS)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False, timeout=30
    )
    assert ended.returncode == 137
    assert ended.stdout == b""
