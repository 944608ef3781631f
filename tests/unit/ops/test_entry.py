import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from clients.ops.__main__ import COMMANDS, main

SCRIPT = Path(__file__).resolve().parents[3] / "venus"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, at work in a folder of its own; no bytecode is left beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = spec_from_loader("venus_entry", SourceFileLoader("venus_entry", str(SCRIPT)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in (("ROOT", ""), ("VENV", ".venv"), ("PYTHON", ".venv/bin/python"), ("STAMP", ".venv/venus-stamp")):
        monkeypatch.setattr(module, name, tmp_path / path)
    (tmp_path / "uv.lock").write_text("version = 1\n")
    return module


def test_packages_are_found_and_a_foreign_venv_is_forgotten(
    entry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    environment = entry.child_environment()
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(tmp_path / part) for part in ("", "libs", "gen")]
    assert environment["HOME"] == str(tmp_path)
    assert "VIRTUAL_ENV" not in environment


@pytest.mark.parametrize("home", ["", "/nonexistent", "relative"])
def test_without_a_home_to_write_to_a_private_one_is_made(
    entry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    made = Path(entry.child_environment()["HOME"])
    assert made == tmp_path / ".venus" / "home"
    assert made.is_dir()
    assert made.parent.stat().st_mode & 0o077 == 0


def test_only_what_uv_lock_says_in_this_folder_counts_as_installed(
    entry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not entry.installed(entry.stamp())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    entry.STAMP.write_text(entry.stamp())
    assert entry.installed(entry.stamp())

    (tmp_path / "uv.lock").write_text("version = 2\n")
    assert not entry.installed(entry.stamp())
    (tmp_path / "uv.lock").write_text("version = 1\n")
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "uv.lock").write_text("version = 1\n")
    monkeypatch.setattr(entry, "ROOT", moved)
    assert not entry.installed(entry.stamp())


def test_what_an_installer_says_becomes_one_line(entry: Any) -> None:
    with pytest.raises(SystemExit, match=r"^venus: could not install the lock: one \| two$"):
        entry.run(dict(os.environ), "install the lock", "sh", "-c", "echo one; echo; echo two >&2; exit 3")
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        entry.run(dict(os.environ), "make .venv", "sh", "-c", "echo ensurepip is not available; exit 1")


def test_every_command_is_there_and_tells_what_it_takes() -> None:
    for name in COMMANDS:
        ran = subprocess.run(
            [sys.executable, "-m", "clients.ops", name, "--help"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "usage:" in ran.stdout


def test_a_command_that_is_not_there_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "no such command: dance" in capsys.readouterr().err
    assert main([]) == 0
    assert "start the suite" in capsys.readouterr().out
