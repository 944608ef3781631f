"""The folder in which a local stack lives: its data, keys, logs, and the description of what runs."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.startup import StackFailed

ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of one stack lies; nothing outside of it is written."""

    folder: Path

    @classmethod
    def of_environment(cls) -> "Home":
        """VENUS_HOME, or .venus beside the code."""
        told = os.environ.get("VENUS_HOME", "")
        return cls(Path(told).absolute() if told else ROOT / ".venus")

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder."""
        return self.folder / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's folder."""
        return self.folder / "valkey"

    @property
    def keys(self) -> Path:
        """Private keys, and the public ones beside them."""
        return self.folder / "keys"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.folder / "log"

    @property
    def run(self) -> Path:
        """What is true only while the stack runs."""
        return self.folder / "run"

    @property
    def description(self) -> Path:
        """The file that describes the running stack."""
        return self.run / "stack.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives; holds its pid."""
        return self.run / "supervisor"

    def start_over(self) -> None:
        """Forget all data, keys and logs; only while nothing runs."""
        for folder in (self.postgres, self.valkey, self.keys, self.logs):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Be the only stack of this home. Errors: StackFailed when another one runs."""
    home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.run.mkdir(exist_ok=True, mode=0o700)
    file = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(file):
            raise StackFailed(f"already running (pid {running_pid(home)}); ./venus down stops it")
        home.description.unlink(missing_ok=True)  # of a supervisor that died without a word
        os.truncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        os.close(file)


def running_pid(home: Home) -> int | None:
    """The pid of the supervisor of this home, None when none lives; the kernel knows, whatever a file says."""
    try:
        file = os.open(home.lock, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(file, 20) or b"0") or None
    finally:
        os.close(file)
    return None


def describe(home: Home, description: Mapping[str, Any]) -> None:
    """Write down what runs, for whoever wants to talk to it."""
    write_private(home.description, json.dumps(description, indent=2) + "\n")


def description_of(home: Home) -> dict[str, Any]:
    """What runs. Errors: StackFailed when nothing does."""
    if running_pid(home) is None:
        home.description.unlink(missing_ok=True)
        raise StackFailed("nothing is running here; ./venus up starts it")
    try:
        return json.loads(home.description.read_text())
    except FileNotFoundError:
        raise StackFailed("the stack is still coming up") from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _lock(file: int) -> bool:
    """Take the lock; with a little patience, since whoever looks whether a stack runs holds it for a moment."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_LOOK_EVERY_S)
        else:
            return True
