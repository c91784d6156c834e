"""Where systems are found: the modules of the mesh, and packages with an entry point."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from infra.systems.first_file import first_file
from schemas import systems
from schemas.declare import DeclarationError
from schemas.systems import PACKAGES, SYSTEMS
from schemas.systems._discovery import GROUP, found_systems
from schemas.systems.model import Scope

FIRST = ["juki", "juki-cs", "local-tax", "child", "care", "pension", "nta", "card", "portal", "operator"]


def package(folder: Path, name: str, source: str, system: str = "library") -> EntryPoint:
    """Install a package with a system as pip does, and return its entry point."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text('"""A package."""\n', "utf-8")
    (folder / name / "declared.py").write_text(source, "utf-8")
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n{system} = {name}.declared:SYSTEM\n", "utf-8")
    (point,) = Distribution.at(information).entry_points
    return point


def found_ids(*points: EntryPoint) -> list[str]:
    """Return the ids of the mesh's systems and of those of entry points."""
    found = found_systems(systems.__path__, systems.__name__, points)
    return [each.system.id for each in found]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder from which packages can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def test_the_first_systems_keep_their_order() -> None:
    """It is the order of publication and of documents; later ones follow by their ids."""
    assert list(SYSTEMS)[: len(FIRST)] == FIRST
    assert list(SYSTEMS)[len(FIRST) :] == sorted(SYSTEMS.keys() - FIRST)
    assert {PACKAGES[id_] for id_ in FIRST} == {"schemas"}


def test_systems_of_packages_come_after_them_by_id(path: Path) -> None:
    """Whatever the order of the entry points; with the package that has their Avro files."""
    later = package(path, "psm_found_z", first_file("zoo", Scope.NATIONAL, "動物園"))
    earlier = package(path, "psm_found_a", first_file("aid", Scope.MUNICIPAL, "給付金"))
    ids = [id_ for id_ in found_ids(later, earlier) if id_ not in SYSTEMS or id_ in FIRST]
    assert ids == [*FIRST, "aid", "zoo"]
    found = {each.system.id: each for each in found_systems(systems.__path__, systems.__name__, [later])}
    assert (found["zoo"].package, found["zoo"].origin) == ("psm_found_z", "package psm_found_z")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            first_file("nta", Scope.NATIONAL, "国税"),
            r"declares system nta, which schemas/systems/nta\.py declares already",
        ),
        (
            "import no_such_module\n",
            "can't be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("SYSTEM = 1 +\n", "can't be imported: SyntaxError"),
        ("SYSTEM = 'library'\n", "which is no System"),
        (
            first_file("aid", Scope.NATIONAL, "給付金").replace('"kind", "種別"', '"Kind", "種別"'),
            "field 'Kind' must be lower-case words",
        ),
    ],
)
def test_a_package_that_can_not_take_part_is_named(
    path: Path, request: pytest.FixtureRequest, source: str, sentence: str
) -> None:
    """One sentence, with what is wrong."""
    name = f"psm_bad_{abs(hash(request.node.name))}"
    with pytest.raises(DeclarationError, match=rf"package {name}.*{sentence}"):
        found_ids(package(path, name, source))


def test_a_module_outside_a_package_has_no_place_for_its_files(path: Path) -> None:
    """Its folder `avro` would be that of all such modules."""
    (path / "psm_alone.py").write_text(first_file("aid", Scope.NATIONAL, "給付金"), "utf-8")
    with pytest.raises(DeclarationError, match="module psm_alone must be in a package"):
        found_ids(EntryPoint("aid", "psm_alone:SYSTEM", GROUP))


def test_two_packages_can_not_declare_one_id(path: Path) -> None:
    """Both are named."""
    points = [
        package(path, name, first_file("aid", Scope.NATIONAL, "給付金")) for name in ("psm_one", "psm_other")
    ]
    with pytest.raises(
        DeclarationError,
        match="package psm_other declares system aid, which package psm_one declares already",
    ):
        found_ids(*points)


def test_a_broken_package_is_one_sentence_of_every_command(tmp_path: Path) -> None:
    """No traceback."""
    package(tmp_path, "psm_broken", "import no_such_module\n")
    result = subprocess.run(
        [sys.executable, "-c", "from infra.cli import main; main()", "systems", "list"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "mesh: package psm_broken can't be imported: ModuleNotFoundError: No module named 'no_such_module'\n"
    )
