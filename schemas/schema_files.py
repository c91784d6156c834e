"""The Avro files `<name>/v<n>.avsc` in `schemas/avro` and in the packages of systems. A released file never changes."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path

from schemas.systems import PACKAGES
from schemas.systems._discovery import OWN_PACKAGE

_VERSION = re.compile(r"v([1-9][0-9]*)\.avsc")


def avro_folder(package: str = OWN_PACKAGE) -> Path:
    """Return the folder of a package's Avro files, which need not exist."""
    return Path(str(resources.files(package) / "avro"))


@cache
def avro_folders() -> tuple[Path, ...]:
    """Return every folder of Avro files: that of the mesh, then those of the packages of systems."""
    folders = map(avro_folder, dict.fromkeys((OWN_PACKAGE, *PACKAGES.values())))
    return tuple(folder for folder in folders if folder.is_dir())


@cache
def names_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the schemas in a folder, sorted."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))


@cache
def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted."""
    return tuple(sorted({name for folder in avro_folders() for name in names_in(folder)}))


@cache
def versions(name: str) -> tuple[int, ...]:
    """Return the versions of a name, from 1 to the newest. Raise KeyError for an unknown name."""
    matches = (_VERSION.fullmatch(entry.name) for entry in _folder_of(name).iterdir())
    return tuple(sorted(int(match[1]) for match in matches if match))


@cache
def schema_text(name: str, version: int) -> str:
    """Return the text of a file, which is also registered in the schema registry."""
    return (_folder_of(name) / f"v{version}.avsc").read_text(encoding="utf-8")


def read_again() -> None:
    """Forget what was read, because files were written since."""
    for read in (avro_folders, names_in, schema_names, versions, schema_text):
        read.cache_clear()


def _folder_of(name: str) -> Path:
    for folder in avro_folders():
        if name in names_in(folder):
            return folder / name
    raise KeyError(f"no schema has the name {name}; the catalogue has {', '.join(schema_names())}")


def display_path(file: Path) -> str:
    """Return the path of an Avro file from the folder of its package on, such as `schemas/avro/receipt/v1.avsc`."""
    return file.relative_to(file.parents[3]).as_posix()
