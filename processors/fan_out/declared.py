"""The declarations by which a process publishes; by default those that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.entities.rows import HIGH_READINGS, HISTORIES, READINGS, PreparedReading
from schemas.declaration_digests import declaration_digests


@dataclass(frozen=True)
class Declared:
    """What the domains read of each entity, by its id, and the digests of all declarations, by their names.

    `high_readings` are those of domains of the high level, which have no histories.
    """

    readings: Mapping[str, tuple[PreparedReading, ...]] = field(default_factory=lambda: READINGS)
    histories: Mapping[str, tuple[PreparedReading, ...]] = field(default_factory=lambda: HISTORIES)
    digests: Mapping[str, str] = field(default_factory=declaration_digests)
    high_readings: Mapping[str, tuple[PreparedReading, ...]] = field(default_factory=lambda: HIGH_READINGS)
