"""The generation changes with whatever changes what a worker does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.run.generation import PACKAGES, ROOT, installed_generation


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Return a folder with a module and a schema."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "schemas" / "v1.avsc").write_text("{}", "utf-8")
    (tmp_path / "infra" / "worker.py").write_text("A = 1\n", "utf-8")
    return tmp_path


def change(code: Path) -> None:
    (code / "infra" / "worker.py").write_text("A = 2\n", "utf-8")


def add(code: Path) -> None:
    (code / "schemas" / "v2.avsc").write_text("{}", "utf-8")


def remove(code: Path) -> None:
    (code / "schemas" / "v1.avsc").unlink()


def rename(code: Path) -> None:
    (code / "infra" / "worker.py").rename(code / "infra" / "workers.py")


@pytest.mark.parametrize("how", [change, add, remove, rename])
def test_another_file_is_another_generation(code: Path, how: Callable[[Path], None]) -> None:
    """Content, names and number of files count."""
    before = installed_generation(code)
    assert installed_generation(code) == before
    how(code)
    assert installed_generation(code) != before


def test_files_that_python_makes_do_not_count(code: Path) -> None:
    """The first import would be another generation."""
    before = installed_generation(code)
    (code / "infra" / "__pycache__").mkdir()
    (code / "infra" / "__pycache__" / "worker.cpython-311.pyc").write_bytes(b"")
    assert installed_generation(code) == before


def test_another_library_is_another_generation(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make setup` may install one without any change of the code."""
    before = installed_generation(code)
    monkeypatch.setattr("infra.run.generation._libraries", lambda: {"orjson-4.0.0.dist-info"})
    assert installed_generation(code) != before


def test_the_packages_are_all_there() -> None:
    """A package that is left out could change without anybody's noticing."""
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"} == set(PACKAGES)
