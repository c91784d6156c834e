"""The systems that take part, one declaration each; nothing else in the mesh knows them by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.systems import card, care, child, juki, juki_cs, local_tax, nta, operator, pension, portal
from schemas.systems.model import Domain, System

_DECLARED = (juki, juki_cs, local_tax, child, care, pension, nta, card, portal, operator)

#: Every system by its id.
SYSTEMS: Final[Mapping[str, System]] = MappingProxyType({m.SYSTEM.id: m.SYSTEM for m in _DECLARED})

#: Every domain by its id, which is that of its system.
DOMAINS: Final[Mapping[str, Domain]] = MappingProxyType(
    {system.id: system.domain for system in SYSTEMS.values() if system.domain}
)

__all__ = ["DOMAINS", "SYSTEMS", "Domain", "System"]
