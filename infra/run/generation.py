"""The generation of the installed mesh: a digest of its code, its declarations and schemas, and its libraries.

A process keeps the code that it has loaded, so after an installation of other code it is of another generation than a
process that starts now. Two generations side by side disagree about systems, topics and rules.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: Packages of the mesh; the systems are declared in `schemas`.
PACKAGES: Final = ("connectors", "infra", "processors", "schemas", "streams")
_SUFFIXES: Final = frozenset({".avsc", ".json", ".py"})
_DIGEST_BYTES: Final = 6


def installed_generation(root: Path = ROOT) -> str:
    """Return the generation of what is installed now in `root` (hex, 12 characters). It takes some milliseconds."""
    digest = hashlib.blake2b(sys.version.encode(), digest_size=_DIGEST_BYTES)
    for name in sorted(_libraries()):
        digest.update(name.encode())
    for file in sorted(_files(root)):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            # It was deleted meanwhile: the next call doesn't list it.
            continue
        digest.update(f"{file.relative_to(root)} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from (file for file in (root / package).rglob("*") if file.suffix in _SUFFIXES)


def _libraries() -> set[str]:
    """Return the names of the folders of all installed libraries; each has the library's version."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return {folder.name for place in places for folder in Path(place).glob("*.dist-info")}
