"""The generated side of the contracts: Python code, the image that breaks are measured against, the golden file.

The code comes from grpc_tools.protoc and mypy-protobuf, because the gRPC Python plugin is no separate program
that buf could call (docs/adr/0009-generated-code.md).
"""

import re
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc_tools

from clients.ops.toolbox import BIN, ROOT, Ran, run

PROTOS: Final = ROOT / "protos"
THIRD_PARTY: Final = ROOT / "third_party" / "protos"
GEN: Final = ROOT / "gen"
IMAGE: Final = PROTOS / "image.binpb"
GOLDEN_TEST: Final = ROOT / "tests" / "contract" / "test_rpc_golden.py"
_SERVICE: Final = re.compile(r"^service\s", re.MULTILINE)


class GenerationFailed(Exception):
    """protoc or buf refused; the text is theirs."""


def gen(argv: Sequence[str]) -> int:
    """Bring gen/ up to date; with --image also accept the contracts as they stand. Returns the exit code."""
    parser = ArgumentParser(prog="venus gen", description="Regenerate gen/ from protos/.")
    parser.add_argument("--image", action="store_true", help="accept the contracts as they stand")
    parser.add_argument("--breaking", action="store_true", help="with --image: even if callers break")
    wanted = parser.parse_args(argv)
    try:
        with generated() as fresh:
            print(f"gen: {_take_over(fresh)} files changed")
            if wanted.image:
                _accept(breaking=wanted.breaking)
    except GenerationFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


@contextmanager
def generated() -> Iterator[Path]:
    """Generate into a folder of its own that is gone afterwards. Raises GenerationFailed."""
    with tempfile.TemporaryDirectory(prefix="venus-gen-") as folder:
        fresh = Path(folder)
        ours = sorted(PROTOS.glob("venus/**/*.proto"))
        _protoc(fresh, ours, "--grpc_python_out", "--mypy_grpc_out")
        _protoc(fresh, [THIRD_PARTY / "buf" / "validate" / "validate.proto"])
        for proto in ours:
            if not _SERVICE.search(proto.read_text()):
                for stub in fresh.glob(f"{proto.relative_to(PROTOS).with_suffix('')}_pb2_grpc.py*"):
                    stub.unlink()
        yield fresh


def stale(fresh: Path) -> list[str]:
    """Names of the files of gen/ that differ from the fresh ones, lack, or are too many."""
    was, now = _contents(GEN), _contents(fresh)
    return sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))


def golden_file(*, rewrite: bool = False) -> Ran:
    """Whether every RPC's HTTP verb, path, access and idempotency are those that were accepted; or accept them."""
    more = {"VENUS_REWRITE_GOLDEN": "1"} if rewrite else {}
    return run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", GOLDEN_TEST], more=more)


def breaking_changes() -> Ran:
    """What changed since the stored image in a way that callers notice."""
    if not IMAGE.exists():
        return Ran(False, f"{IMAGE.relative_to(ROOT)} is not there: ./venus gen --image\n")
    return run([BIN / "buf", "breaking", "protos", "--exclude-imports", "--against", IMAGE])


def _protoc(into: Path, protos: Sequence[Path], *plugins: str) -> None:
    include = Path(grpc_tools.__file__).parent / "_proto"
    outputs = [f"{option}={into}" for option in ("--python_out", "--mypy_out", *plugins)]
    paths = [f"-I{folder}" for folder in (PROTOS, THIRD_PARTY, include)]
    _content(run([sys.executable, "-m", "grpc_tools.protoc", *paths, *outputs, *protos]))


def _take_over(fresh: Path) -> int:
    """Only what differs is written: a running suite or an open editor sees no half-empty gen/."""
    names = stale(fresh)
    for name in names:
        target, source = GEN / name, fresh / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        else:
            target.unlink()
    return len(names)


def _accept(*, breaking: bool) -> None:
    if IMAGE.exists() and not breaking:
        changes = breaking_changes()
        if not changes.ok:
            raise GenerationFailed(f"{changes.output}this breaks callers; with --breaking it is accepted all the same")
    _content(run([BIN / "buf", "build", "protos", "--exclude-source-info", "-o", IMAGE]))
    _content(golden_file(rewrite=True))
    print(f"accepted: {IMAGE.relative_to(ROOT)} and the golden file of RPCs")


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.py*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _content(ran: Ran) -> str:
    if not ran.ok:
        raise GenerationFailed(ran.output)
    return ran.output
