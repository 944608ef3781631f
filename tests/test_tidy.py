"""What no linter knows: the rules of CONTRIBUTING.md that a machine can keep."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_OURS: Final = {"gen", "third_party", "node_modules", "__pycache__"}  # and hidden folders, but for .ci
LONGEST_FUNCTION: Final = 70
BANNED_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "service"}
BROAD_EXCEPT: Final = {
    "libs/venus_kit/lane.py",
    "libs/venus_kit/saga/runner.py",
    "libs/venus_kit/server.py",
    "services/gateway/app.py",
}
TEXT: Final = {
    ".py",
    ".pyi",
    ".sql",
    ".proto",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".sh",
    ".txt",
    ".html",
    ".js",
    "",
}

# The words are put together here, so that this file does not trip over itself.
UNWANTED: Final = re.compile(
    "|".join(
        (
            r"/(?:work|farm|" + "root)/",
            r"/home/[a-z]\w*/",
            r"bash" + "_jobs",
            r"\b" + "issue" + r"s? #?\d",
            r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b",
        )
    )
)
REGISTRY: Final = re.compile(
    "|".join(("pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)", "yarn" + r"pkg"))
)


def ours() -> Iterator[Path]:
    """Every file of the repository that a person wrote."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name == ".ci" or not (name in NOT_OURS or name.startswith(".")))
        yield from (Path(folder) / name for name in sorted(names) if not name.endswith(".pyc"))


def here(path: Path) -> str:
    """The path as it is written in the docs."""
    return str(path.relative_to(ROOT))


FILES: Final = [path for path in ours() if path.suffix in TEXT and path.name != "uv.lock"]
PYTHON: Final = [path for path in FILES if path.suffix == ".py" or path == ROOT / "venus"]
SOURCES: Final = [path for path in PYTHON if not here(path).startswith("tests/")]
MARKDOWN: Final = [path for path in FILES if path.suffix == ".md"]


def test_functions_fit_a_screen() -> None:
    long = [
        f"{here(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long, "\n".join(long)


def test_files_are_named_after_nouns_and_verbs() -> None:
    banned = [here(path) for path in PYTHON if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES]
    assert not banned


def test_package_markers_are_empty() -> None:
    assert not [here(path) for path in PYTHON if path.name == "__init__.py" and path.read_text()]


def test_nothing_speaks_of_a_workplace() -> None:
    found = [
        f"{here(path)}:{number} {match.group()}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := UNWANTED.search(line))
    ]
    assert not found, "\n".join(found)


def test_only_the_lock_names_a_package_registry() -> None:
    assert not [here(path) for path in FILES if REGISTRY.search(path.read_text())]


def test_broad_except_stays_where_it_belongs() -> None:
    """gRPC's interceptor and HTTP's, the saga runner, the lane. What is raised again is nobody's broad except."""
    found = {
        here(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        if node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        if not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
    }
    assert found <= BROAD_EXCEPT


# --- nothing runs at import -------------------------------------------------------------------------------------

WORK: Final = {
    "run", "run_until_complete", "run_forever", "create_pool", "connect", "insecure_channel", "secure_channel",
    "from_url", "Redis", "Popen", "check_call", "check_output", "system", "open", "read_text", "read_bytes",
    "write_text", "mkdir", "getenv", "Thread", "Process", "urlopen", "sleep", "print", "setup", "basicConfig", "now",
    "time", "monotonic", "load", "init", "Settings", "ServiceSettings",
}  # fmt: skip


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that are evaluated when the module is imported: no function bodies, no `if __name__ == "__main__"`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__name__" in ast.unparse(child.test):
            continue
        yield child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for early in (*child.decorator_list, *child.args.defaults, *filter(None, child.args.kw_defaults)):
                yield early
                yield from at_import(early)
        elif not isinstance(child, ast.Lambda):
            yield from at_import(child)


def works(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        return name in WORK
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def test_nothing_runs_at_import() -> None:
    found = [
        f"{here(path)}:{node.lineno} {ast.unparse(node)}"
        for path in SOURCES
        for node in at_import(ast.parse(path.read_text()))
        if works(node) and isinstance(node, ast.expr)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "pool = asyncpg.create_pool(url)",
        "class A:\n    channel = grpc.aio.insecure_channel('x')",
        "def f(home=os.environ['HOME']): ...",
        "if True:\n    asyncio.run(main())",
    ],
)
def test_work_at_import_is_seen(source: str) -> None:
    assert any(works(node) for node in at_import(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    asyncio.run(main())",
        "if __name__ == '__main__':\n    run()",
        "later = lambda: open('x')",
        "LIMIT = max(1, 2)",
    ],
)
def test_work_at_call_time_is_fine(source: str) -> None:
    assert not any(works(node) for node in at_import(ast.parse(source)))


# --- docs ---------------------------------------------------------------------------------------------------------

LINK: Final = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
CODE_BLOCK: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NAMED_PATH: Final = re.compile(r"`((?:clients|deploy|docs|gen|libs|protos|services|tests|third_party)/[\w./-]+)`")
COMMAND: Final = re.compile(r"\./venus ([a-z]+)")


def headings(path: Path) -> set[str]:
    """The anchors of a page, as forges make them."""
    titles = re.findall(r"^#+ +(.+)$", CODE_BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_of_the_docs_lead_somewhere() -> None:
    broken: list[str] = []
    for page in MARKDOWN:
        for link in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target)):
                broken.append(f"{here(page)}: {link}")
    assert not broken, "\n".join(broken)


def test_files_that_the_docs_name_are_there() -> None:
    lost = [
        f"{here(page)}: {name}"
        for page in MARKDOWN
        if page.name != "CHANGELOG.md"
        for name in NAMED_PATH.findall(page.read_text())
        if not (ROOT / name).exists()
    ]
    assert not lost, "\n".join(lost)


def test_commands_that_the_docs_name_are_there() -> None:
    named = {command for page in MARKDOWN for command in COMMAND.findall(page.read_text())}
    told = subprocess.run(
        [sys.executable, "-m", "clients.ops", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert named
    assert not [command for command in named if not re.search(rf"\b{command}\b", told.stdout)]


def test_what_the_gateway_itself_refuses_is_told() -> None:
    """It has no proto in whose comments its reasons could stand."""
    tree = ast.parse((ROOT / "services" / "gateway" / "refusals.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} - {"HttpRefusal"}
    reasons = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper() for name in names}
    page = (ROOT / "docs" / "rest.md").read_text()
    assert reasons
    assert not [reason for reason in reasons if not re.search(rf"\b{reason}\b", page)]


def test_decisions_have_their_four_parts_on_one_page() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences", "Alternatives"], page.name
        assert len(text.splitlines()) <= 60, page.name


def test_every_alert_has_a_runbook() -> None:
    rules = [path for path in FILES if here(path).startswith("deploy/alerts/") and path.suffix in {".yaml", ".yml"}]
    alerts = {name for path in rules for name in re.findall(r"^\s*-? *alert: *(\w+)", path.read_text(), re.MULTILINE)}
    runbooks = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert alerts <= runbooks


# --- files that others start or read by name ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["venus", ".ci/run"])
def test_entries_have_their_run_bit(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


def test_migrations_are_numbered_without_gaps() -> None:
    for folder in sorted((ROOT / "services").glob("*/migrations")):
        names = sorted(path.name for path in folder.glob("*.sql"))
        assert names, here(folder)
        assert all(re.fullmatch(r"\d{4}_(pre|post)_[a-z0-9_]+\.sql", name) for name in names), here(folder)
        assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1)), here(folder)
