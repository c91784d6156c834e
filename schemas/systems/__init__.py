"""The systems that take part in the mesh, one declaration each; no other code knows a system by name.

Every module of this folder with a `SYSTEM` is one, and so is every entry point of group `mesh.systems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.declare import DeclarationError
from schemas.systems import clock, operator
from schemas.systems._discovery import found_systems, installed_entry_points
from schemas.systems.model import Domain, System

_FOUND: Final = found_systems(__path__, __name__, installed_entry_points())

#: Every system by its id.
SYSTEMS: Final[Mapping[str, System]] = MappingProxyType({found.system.id: found.system for found in _FOUND})

#: The package of each system, by the system's id: its folder `avro` has the system's Avro files.
PACKAGES: Final[Mapping[str, str]] = MappingProxyType({found.system.id: found.package for found in _FOUND})

#: Every domain by its id, which is the id of its system.
DOMAINS: Final[Mapping[str, Domain]] = MappingProxyType(
    {system.id: system.domain for system in SYSTEMS.values() if system.domain}
)

#: Id of the system on whose input topic operator commands are submitted.
OPERATOR: Final = operator.SYSTEM.id

#: Id of the system that submits each day once it has begun.
CLOCK: Final = clock.SYSTEM.id


def _digest_purposes() -> Mapping[str, str]:
    purposes = {
        system.publishes: system.purpose for system in SYSTEMS.values() if system.publishes and system.purpose
    }
    if len(set(purposes.values())) < len(purposes):
        raise DeclarationError(
            f"two schemas have the same purpose of digests: {', '.join(sorted(purposes.values()))}"
        )
    return MappingProxyType(purposes)


#: Purpose of the keyed digests of submissions, by schema; two purposes give two digests of the same content.
DIGEST_PURPOSES: Final = _digest_purposes()


def publishers(schema: str) -> tuple[str, ...]:
    """Return the ids of the systems that publish submissions of a schema, in the order of the declarations."""
    return tuple(system.id for system in SYSTEMS.values() if system.publishes == schema)


__all__ = [
    "CLOCK",
    "DIGEST_PURPOSES",
    "DOMAINS",
    "OPERATOR",
    "PACKAGES",
    "SYSTEMS",
    "Domain",
    "System",
    "publishers",
]
