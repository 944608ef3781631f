"""Named queries."""

import sys
from pathlib import Path

import pytest

from venus_kit.sql import Queries, split_queries


def package_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> str:
    name = f"shop_{abs(hash(tmp_path)):x}"
    folder = tmp_path / name / "sql"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for file, text in files.items():
        (folder / f"{file}.sql").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_each_query_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = package_with(
        tmp_path,
        monkeypatch,
        stock="-- Stock.\n\n-- name: lock_stock\n-- one global order\nSELECT 1\nFOR UPDATE;\n\n"
        "-- name: hold_stock\nSELECT 2;\n",
        receipt="-- name: lock_series\nSELECT 3\n",
    )
    queries = Queries.load(package)
    assert list(queries) == ["lock_series", "lock_stock", "hold_stock"]
    assert len(queries) == 3
    assert queries["lock_stock"] == "-- name: lock_stock\n-- one global order\nSELECT 1\nFOR UPDATE"
    with pytest.raises(KeyError):
        queries["lock_stocks"]


def test_a_name_used_in_two_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = package_with(tmp_path, monkeypatch, a="-- name: lock_stock\nSELECT 1", b="-- name: lock_stock\nSELECT 2")
    with pytest.raises(ValueError, match="lock_stock is used twice"):
        Queries.load(package)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n-- name: get_stock\nSELECT 2", "before the first"),
        ("-- name: stock\nSELECT 1", "no verb_noun"),
        ("-- name: GetStock\nSELECT 1", "no verb_noun"),
        ("-- name:\nSELECT 1", "no verb_noun"),
        ("-- name: get_stock\n\n-- name: put_stock\nSELECT 1", "get_stock is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(split_queries(text, "stock.sql"))
