"""Documents name only paths that exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `python -m schemas.docs` and `python -m infra.documents` write these.
GENERATED = ("docs/events.md", "docs/reference.md")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if path.relative_to(ROOT).as_posix() not in GENERATED
)
#: Folders of the repository: a path that begins with another name is not checked (`/etc/...`, `build/...`).
FOLDERS = ("schemas", "streams", "processors", "connectors", "infra", "tests", "docs")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"^(?:{'|'.join(FOLDERS)})/[\w./*-]*")
#: Names with other endings are often those of files that commands create.
FILE = re.compile(r"^[\w/.-]+\.(?:py|md|avsc)$")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def mentioned_paths(text: str) -> set[str]:
    """Return the paths in code marks that begin with a folder of the repository, without `::test` at the end."""
    spans = (span.split("::")[0] for span in CODE.findall(text))
    return {span for span in spans if PATH.fullmatch(span)}


def mentioned_files(text: str) -> set[str]:
    """Return the file names in code marks, with or without folder."""
    return {span for span in CODE.findall(text) if FILE.fullmatch(span)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mentioned_paths_exist(document: str) -> None:
    """A path from the root of the repository exists; `*` in it matches at least one file."""
    text = (ROOT / document).read_text("utf-8")
    missing = [path for path in mentioned_paths(text) if not any(ROOT.glob(path.rstrip("/")))]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mentioned_files_exist(document: str) -> None:
    """A file name, as in a table of one folder's modules, is the end of the path of a file in the repository."""
    text = (ROOT / document).read_text("utf-8")
    missing = [
        name
        for name in mentioned_files(text)
        if not any(path.as_posix().endswith(f"/{name}") for path in _files())
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mentioned_tests_exist(document: str) -> None:
    """A test named as `path::name` is defined in that file."""
    spans = [span.split("::") for span in CODE.findall((ROOT / document).read_text("utf-8")) if "::" in span]
    missing = [name for path, name in spans if f"def {name}(" not in (ROOT / path).read_text("utf-8")]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document: str) -> None:
    """A relative link leads to a file."""
    folder = (ROOT / document).parent
    links = [link for link in LINK.findall((ROOT / document).read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (folder / link).exists()] == []


@cache
def _files() -> list[Path]:
    folders = [ROOT / folder for folder in FOLDERS]
    return [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*.*"))]
