"""The Avro files `schemas/avro/<name>/v<n>.avsc`. A released file never changes."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_VERSION = re.compile(r"v([1-9][0-9]*)\.avsc")


def _folder() -> Traversable:
    return resources.files("schemas") / "avro"


@cache
def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted."""
    return tuple(sorted(entry.name for entry in _folder().iterdir() if entry.is_dir()))


@cache
def versions(name: str) -> tuple[int, ...]:
    """Return the versions of a name, from 1 to the newest. Raise KeyError for an unknown name."""
    if name not in schema_names():
        raise KeyError(f"no schema has the name {name}; the catalogue has {', '.join(schema_names())}")
    matches = (_VERSION.fullmatch(entry.name) for entry in (_folder() / name).iterdir())
    return tuple(sorted(int(match[1]) for match in matches if match))


@cache
def schema_text(name: str, version: int) -> str:
    """Return the text of a file, which is also registered in the schema registry."""
    return (_folder() / name / f"v{version}.avsc").read_text(encoding="utf-8")
