import json
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.collector import choose_collector
from deploy.local.home import Home
from deploy.local.startup import StackFailed


@pytest.fixture
def ports() -> Iterator[ExitStack]:
    with ExitStack() as kept:
        yield kept


def test_without_a_jaeger_the_stand_in_says_that_it_is_one(
    tmp_path: Path, ports: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VENUS_JAEGER_BIN", raising=False)
    collector = choose_collector(Home(tmp_path), ports)
    assert (collector.kind, collector.is_jaeger) == ("stand-in", False)
    assert collector.program.command[2] == "deploy.local.otlp_sink"
    assert collector.otlp_url.removeprefix("http://") in collector.program.command
    assert collector.traces_url == f"{collector.web_url}/api/traces"


def test_a_jaeger_that_is_named_is_started_on_free_ports_with_memory_only(
    tmp_path: Path, ports: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUS_JAEGER_BIN", sys.executable)
    collector = choose_collector(Home(tmp_path), ports)
    assert collector.is_jaeger
    program, flag, file = collector.program.command
    assert (program, flag) == (sys.executable, "--config")
    settings = json.loads(Path(file).read_text())
    assert settings["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == collector.otlp_url.removeprefix("http://")
    assert settings["extensions"]["jaeger_query"]["http"]["endpoint"] == collector.web_url.removeprefix("http://")
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600


def test_a_jaeger_that_is_no_program_is_refused(
    tmp_path: Path, ports: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUS_JAEGER_BIN", str(tmp_path / "jaeger"))
    with pytest.raises(StackFailed, match="which is no program"):
        choose_collector(Home(tmp_path), ports)
