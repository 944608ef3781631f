from pathlib import Path

import pytest

from tests.bench.processor_time import cpu_seconds, spent


@pytest.fixture
def ticks_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100)


def process(proc: Path, pid: int, parent: int, *ticks: int, name: str = "python") -> None:
    (proc / str(pid)).mkdir()
    before = " ".join("0" for _ in range(9))
    told = " ".join(map(str, ticks))
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} {before} {told} 20 0 1 0 99\n")


@pytest.mark.usefixtures("ticks_per_second")
def test_a_process_answers_for_all_that_descends_from_it(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100, 50, 0, 0, name="postgres")
    process(tmp_path, 11, 10, 7, 3, 0, 0, name="a (b) c 1")
    process(tmp_path, 12, 11, 1, 1, 20, 8)
    process(tmp_path, 20, 1, 500, 0, 0, 0)
    (tmp_path / "uptime").write_text("1 1")
    assert cpu_seconds({"postgres": 10, "gone": 99}, tmp_path) == {"postgres": 1.9, "gone": 0.0}


def test_what_was_spent_is_the_difference_of_two_readings() -> None:
    assert spent({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 2.0}) == {"a": 0.5, "b": 0.0}


def test_our_own_time_is_read_from_the_kernel() -> None:
    import os

    assert cpu_seconds({"us": os.getpid()})["us"] > 0
