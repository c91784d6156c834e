"""Timelines of the processors and of the reference model in one form, to compare them."""

from __future__ import annotations

from typing import Any

from infra.verification.reference.reference_timeline import ReferenceTimeline
from processors.entities.timeline import Timeline
from schemas.declare import Entity

#: Per key: from a day on the key is open (or not) with these values.
Steps = dict[tuple[str, ...], list[tuple[str, bool, tuple[str | None, ...]]]]


def steps(timeline: Timeline) -> Steps:
    """Return a timeline of the processors without versions that change nothing."""
    return {
        key: _merged([(each.begins.isoformat(), each.open, each.values) for each in versions])
        for key, versions in timeline.versions.items()
    }


def reference_steps(entity: Entity, timeline: ReferenceTimeline) -> Steps:
    """Return a timeline of the reference model in the same form."""
    names = entity.field_names
    return {
        key: _merged(
            [(each.day, each.is_open, tuple(each.values[name] for name in names)) for each in versions]
        )
        for key, versions in timeline.versions.items()
    }


def _merged(versions: list[tuple[str, bool, Any]]) -> list[tuple[str, bool, Any]]:
    """Return what holds at the end of each day on which that becomes different."""
    merged: list[tuple[str, bool, Any]] = []
    for version in {each[0]: each for each in versions}.values():
        if not merged or merged[-1][1:] != version[1:]:
            merged.append(version)
    return merged
