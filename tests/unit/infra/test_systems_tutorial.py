"""docs/systems.md: its commands run as it shows them, and it has every word of a declaration."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import declare
from schemas.systems._discovery import GROUP
from tests.attacks.installed_copy import ROOT, InstalledCopy

PAGE = (ROOT / "docs" / "systems.md").read_text("utf-8")
#: The count of the systems, which changes with each new one.
COUNT = re.compile(r"\d+ systems checked")


@pytest.fixture
def copy(tmp_path: Path) -> InstalledCopy:
    """Return a copy of the installed mesh, in whose folder commands run."""
    return InstalledCopy.create(tmp_path)


def section(title: str) -> str:
    """Return the text of a section of the page."""
    return PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]


def blocks(language: str, text: str) -> list[str]:
    """Return the content of the blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def sessions(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words of each command that is shown, and the lines of its output."""
    for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE):
        for command in re.split(r"^    \$ ", block, flags=re.MULTILINE)[1:]:
            first, *lines = command.splitlines()
            yield first.split()[1:], [line.removeprefix("    ") for line in lines]


def require_output(copy: InstalledCopy, words: list[str], expected: list[str]) -> None:
    """Run a command, and require its output; `…` as a line stands for the rest, and in a path for its beginning."""
    result = copy.mesh(*words)
    printed = [COUNT.sub("N systems checked", line) for line in (result.stdout + result.stderr).splitlines()]
    shown = [COUNT.sub("N systems checked", line) for line in expected]
    if shown[-1] == "…":
        shown.pop()
        printed = printed[: len(shown)]
    printed = [
        f"…{line[len(str(copy.code)) :]}" if line.startswith(str(copy.code)) else line for line in printed
    ]
    assert printed == shown, words
    assert (result.returncode == 0) is not any("not written yet" in line for line in shown), words


def test_the_tutorial_runs_as_shown(copy: InstalledCopy) -> None:
    """Each command prints what the page shows, after the edit that it asks for."""
    tutorial = section("Tutorial")
    (declaration,) = blocks("python", tutorial)
    ran = []
    for words, expected in sessions(tutorial):
        require_output(copy, words, expected)
        if words[:2] == ["systems", "new"]:
            (copy.code / "schemas" / "systems" / "booklet.py").write_text(declaration, "utf-8")
        ran.append(words[1])
    assert ran == ["new", "check", "generate", "check", "show", "explain", "explain"]


def test_a_package_is_made_as_shown(copy: InstalledCopy) -> None:
    """Its first file, named by the entry point of the page, is a system of the mesh.

    Its Avro files and their hashes are written into the package, and nothing into the mesh.
    """
    outside = section("A system in a package of its own")
    (project,) = (tomllib.loads(text) for text in blocks("toml", outside))
    ((words, expected),) = sessions(outside)
    folder = copy.folder / words[-1]
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    require_output(copy, words, expected)
    ((name, target),) = project["project"]["entry-points"][GROUP].items()
    copy.install("mesh_booklet", folder.parent, f"[{GROUP}]\n{name} = {target}\n")
    files = {"domain-booklet/v1.avsc", "submission-booklet/v1.avsc"}
    before = (copy.code / "schemas" / "avro" / "released.json").read_text("utf-8")
    generated = copy.mesh("systems", "generate").stdout
    assert set(generated.splitlines()) == {f"mesh_booklet/avro/{file} is written" for file in files}
    avro = folder / "avro"
    written = {file.relative_to(avro).as_posix() for file in avro.rglob("*.*")}
    assert written == {*files, "released.json"}
    assert json.loads((avro / "released.json").read_text("utf-8")).keys() == {
        file.removesuffix(".avsc") for file in files
    }
    assert (copy.code / "schemas" / "avro" / "released.json").read_text("utf-8") == before
    assert "submission-booklet (version 1)" in copy.mesh("systems", "show", "booklet").stdout


def test_the_page_has_every_word_of_a_declaration() -> None:
    """Everything that `schemas.declare` offers, and the members of its enumerations."""
    reference = section("The words of a declaration")
    names = [*declare.__all__, *declare.Effect, *declare.Cause]
    assert [name for name in names if not re.search(rf"\b{name}\b", reference)] == []
