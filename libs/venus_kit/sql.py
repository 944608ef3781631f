"""Named SQL: every query of a service stands in its sql/ folder, under `-- name: verb_noun`."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final, Self

_NAME_LINE: Final = re.compile(r"^-- name: *(.*?) *$", re.MULTILINE)
_VERB_NOUN: Final = re.compile(r"[a-z]+(_[a-z0-9]+)+")


class Queries(Mapping[str, str]):
    """The queries of one service by name."""

    def __init__(self, queries: Mapping[str, str]) -> None:
        """Keep `queries`, name to text."""
        self._queries = dict(queries)

    @classmethod
    def load(cls, package: str) -> Self:
        """Read `<package>/sql/*.sql`; raises ValueError for a text without a name or a name used twice."""
        found: dict[str, str] = {}
        folder = files(package) / "sql"
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not file.name.endswith(".sql"):
                continue
            for name, text in split_queries(file.read_text(encoding="utf-8"), file.name):
                if name in found:
                    raise ValueError(f"{package}/sql/{file.name}: the name {name} is used twice")
                found[name] = text
        return cls(found)

    def __getitem__(self, name: str) -> str:
        """The text of one query; it begins with its name, so the database's views of activity show it."""
        return self._queries[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the files."""
        return iter(self._queries)

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self._queries)


def split_queries(text: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield (name, query) of one file's text; `source` is named in errors."""
    head, *rest = _NAME_LINE.split(text)
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{source}: SQL before the first '-- name:'")
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if not _VERB_NOUN.fullmatch(name):
            raise ValueError(f"{source}: {name!r} is no verb_noun")
        query = body.strip().removesuffix(";").rstrip()
        if not query:
            raise ValueError(f"{source}: {name} is empty")
        yield name, f"-- name: {name}\n{query}"
