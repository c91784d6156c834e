"""Finds the declarations: the modules of this package, and the packages that name one as an entry point.

A package outside the repository declares a system by an entry point of group `mesh.systems`, which names an object of
class `System`; see docs/systems.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Final, NamedTuple

from schemas.declare import DeclarationError
from schemas.systems.model import System

#: Group of the entry points by which packages declare systems.
GROUP: Final = "mesh.systems"
#: The package whose folder `avro` has the Avro files of the systems that are declared here.
OWN_PACKAGE: Final = "schemas"

#: The first systems in the order in which changes for them are published. All later ones follow by their ids.
_FIRST: Final = (
    "juki", "juki-cs", "local-tax", "child", "care", "pension", "nta", "card", "portal", "operator",
)  # fmt: skip


class FoundSystem(NamedTuple):
    """A declared system. Folder `avro` of `package` has its Avro files, `origin` says for errors what declares it."""

    system: System
    package: str
    origin: str


def found_systems(folder: Iterable[str], package: str, points: Iterable[EntryPoint]) -> list[FoundSystem]:
    """Return the systems of a package's modules and of entry points, in the order of publication.

    `folder` is the path of the package. Raise DeclarationError where one can't be imported, or two have the same id.
    """
    by_id: dict[str, FoundSystem] = {}
    for found in (*_declared_in(folder, package), *_declared_by(points)):
        known = by_id.setdefault(found.system.id, found)
        if known is not found:
            raise DeclarationError(
                f"{found.origin} declares system {found.system.id}, which {known.origin} declares already"
            )
    return sorted(by_id.values(), key=_order)


def installed_entry_points() -> list[EntryPoint]:
    """Return the entry points of all installed packages, in a stable order."""
    return sorted(entry_points(group=GROUP), key=lambda point: (_distribution(point), point.name))


def _order(found: FoundSystem) -> tuple[int, str]:
    id_ = found.system.id
    return (_FIRST.index(id_) if id_ in _FIRST else len(_FIRST), id_)


def _declared_in(folder: Iterable[str], package: str) -> Iterator[FoundSystem]:
    for name in sorted(module.name for module in pkgutil.iter_modules(folder)):
        if not name.startswith("_"):
            origin = f"{package.replace('.', '/')}/{name}.py"
            system = getattr(_imported(f"{package}.{name}", origin), "SYSTEM", None)
            if isinstance(system, System):
                yield FoundSystem(system, OWN_PACKAGE, origin)


def _declared_by(points: Iterable[EntryPoint]) -> Iterator[FoundSystem]:
    for point in points:
        origin = f"package {_distribution(point)}"
        module = _imported(point.module, origin)
        system = getattr(module, point.attr, None)
        if not isinstance(system, System):
            # While the module is being imported itself, it has no SYSTEM yet.
            raise DeclarationError(
                f"{origin}: entry point {point.name} names {point.value}, which is no System; "
                f"a program that imports {point.module} must import schemas.systems first"
            )
        if not module.__package__:
            raise DeclarationError(
                f"{origin}: module {point.module} must be in a package, whose folder avro has its Avro files"
            )
        yield FoundSystem(system, module.__package__, origin)


def _imported(module: str, origin: str) -> ModuleType:
    """Import a module. Raise DeclarationError with its origin, whatever went wrong."""
    try:
        return importlib.import_module(module)
    except DeclarationError as error:
        raise DeclarationError(f"{origin}: {error}") from error
    except Exception as error:
        raise DeclarationError(f"{origin} can't be imported: {type(error).__name__}: {error}") from error


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module.partition(".")[0]
