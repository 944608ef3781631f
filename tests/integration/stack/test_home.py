import os
import stat
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from deploy.local.home import Home, describe, description_of, held, running_pid
from deploy.local.startup import StackFailed

HOLDER = """
import sys, pathlib
from deploy.local.home import Home, describe, held
home = Home(pathlib.Path(sys.argv[1]))
with held(home):
    describe(home, {"gateway": "http://127.0.0.1:1"})
    print("held", flush=True)
    sys.stdin.read()
"""


def _holder(folder: Path) -> "Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = Popen([sys.executable, "-c", HOLDER, str(folder)], stdin=PIPE, stdout=PIPE, text=True, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_stack_in_one_home_is_refused_and_names_the_first(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with _holder(home.folder) as holder:
        assert running_pid(home) == holder.pid
        with pytest.raises(StackFailed, match=rf"already running \(pid {holder.pid}\)"), held(home):
            pass
        assert description_of(home)["gateway"] == "http://127.0.0.1:1"
        holder.kill()


def test_what_a_killed_stack_left_behind_is_cleared_away(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with _holder(home.folder) as holder:
        holder.kill()
    assert home.description.exists()

    assert running_pid(home) is None
    with pytest.raises(StackFailed, match="nothing is running"):
        description_of(home)

    assert not home.description.exists()
    with held(home):
        assert running_pid(home) == os.getpid()
    assert running_pid(home) is None


def test_only_the_owner_can_read_the_description(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with held(home):
        describe(home, {"tokens": {"admin": "secret"}})
        assert stat.S_IMODE(home.description.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_starting_over_keeps_nothing_but_the_lock(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with held(home):
        for folder in (home.postgres, home.valkey, home.keys, home.logs):
            folder.mkdir()
        home.start_over()
        assert sorted(path.name for path in home.folder.iterdir()) == ["run"]
        assert running_pid(home) == os.getpid()
