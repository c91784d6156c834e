"""The systems that take part in the mesh, one declaration each; no other code knows a system by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.systems import card, care, child, juki, juki_cs, local_tax, nta, operator, pension, portal
from schemas.systems.model import Domain, System

_DECLARED = (juki, juki_cs, local_tax, child, care, pension, nta, card, portal, operator)

#: Every system by its id.
SYSTEMS: Final[Mapping[str, System]] = MappingProxyType({m.SYSTEM.id: m.SYSTEM for m in _DECLARED})

#: Every domain by its id, which is the id of its system.
DOMAINS: Final[Mapping[str, Domain]] = MappingProxyType(
    {system.id: system.domain for system in SYSTEMS.values() if system.domain}
)

#: Id of the system on whose input topic operator commands are submitted.
OPERATOR: Final = operator.SYSTEM.id

#: Purpose of the keyed digests of submissions, by schema; two purposes give two digests of the same content.
DIGEST_PURPOSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        system.publishes: system.digest_purpose or system.publishes
        for system in SYSTEMS.values()
        if system.publishes
    }
)


def publishers(schema: str) -> tuple[str, ...]:
    """Return the ids of the systems that publish submissions of a schema, in the order of the declarations."""
    return tuple(system.id for system in SYSTEMS.values() if system.publishes == schema)


__all__ = ["DIGEST_PURPOSES", "DOMAINS", "OPERATOR", "SYSTEMS", "Domain", "System", "publishers"]
