"""The timeline of a declared entity of a person, and what of another municipality's it takes over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.verification.reference.notice import EntityEvent, Receipt
from infra.verification.reference.reference_life import ReferenceLife, add_days, last_day_of
from schemas.declare import PART, Entity, TakesOver

#: The values of the entity's key in its order; the part is the municipality.
EntityKey = tuple[str, ...]


@dataclass(frozen=True)
class EntityVersion:
    """What holds of a key from a day on. `opened` is its latest opening: the day, and when it was received.

    An opening that follows by itself was never received (None).
    """

    day: str
    is_open: bool
    values: Mapping[str, str | None]
    opened: tuple[str, Receipt | None]


@dataclass
class ReferenceTimeline:
    """The versions of each key in their order, and the submissions without effect.

    `happened` are the events of each key that had an effect: day and name.
    """

    versions: dict[EntityKey, list[EntityVersion]] = field(default_factory=dict)
    without_effect: list[EntityEvent] = field(default_factory=list)
    happened: dict[EntityKey, list[tuple[str, str]]] = field(default_factory=dict)

    def on(self, key: EntityKey, day: str) -> EntityVersion | None:
        """Return the version of a key at the end of a day."""
        return next((each for each in reversed(self.versions.get(key, ())) if each.day <= day), None)

    def latest(self) -> Iterator[tuple[EntityKey, EntityVersion]]:
        """Yield each key with its latest version."""
        for key in sorted(self.versions):
            yield key, self.versions[key][-1]


def key_of(entity: Entity, part: str | None, values: Mapping[str, str | None]) -> EntityKey:
    """Return the key of an event."""
    return tuple((part if name == PART else values.get(name)) or "" for name in entity.key)


def taken_over(
    rule: TakesOver, submission: EntityEvent, life: ReferenceLife, timeline: ReferenceTimeline
) -> Mapping[str, str | None] | None:
    """Return what an event takes over from where the person was registered before; None: nothing, or too late."""
    day = submission.effective_on
    moved = life.came_from(day)
    if moved is None or day > add_days(life.registered_since(day), rule.within_days):
        return None
    origin, until = moved
    held = timeline.on((origin,), until)
    if held is None or not held.is_open:
        return None
    last = {rule.last_day: last_day_of(day, rule.months)} if rule.last_day else {}
    return {**{name: held.values[name] for name in rule.fields}, **last}
