"""The rows of readings that the stores must have of one person on a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from infra.verification.reference.entity_acceptance import EntityRegister
from infra.verification.reference.notice import EntityEvent
from infra.verification.reference.reference_entity import fold_entity
from infra.verification.reference.reference_law import law_of
from infra.verification.reference.reference_life import ReferenceLife, add_days, age_reached_on
from infra.verification.reference.reference_timeline import EntityKey, EntityVersion, ReferenceTimeline
from infra.verification.reference.roman import romanize
from schemas.declare import (
    ACCOUNT,
    PART,
    REGISTRATION,
    ByResidence,
    Enrolled,
    Entity,
    FollowsEntity,
    OneOf,
    Reads,
)
from schemas.systems import DOMAINS, SYSTEMS
from schemas.systems.model import Domain

#: Days on which rows of domains open or close: domain and municipality (None if national) of those open after each.
OpenRows = Mapping[str, frozenset[tuple[str, str | None]]]


@dataclass(frozen=True)
class ReadingRow:
    """A row of a reading's table, `<schema>.<reading>`, with its columns except the person's code.

    `refs` are the columns that name another person, here by resident record code.
    """

    table: str
    columns: Mapping[str, Any]
    refs: tuple[str, ...] = ()


def timelines_of(
    register: EntityRegister,
    life: ReferenceLife,
    today: str,
    accounts: Iterable[tuple[str, bool, Mapping[str, str | None]]] = (),
) -> dict[str, ReferenceTimeline]:
    """Return a person's timelines of all entities by their id, each after those that it follows.

    `accounts` say since when which account is open or closed. What opens by residence only after `today` may be
    missing.
    """
    timelines: dict[str, ReferenceTimeline] = {}
    waiting = [entity for system in SYSTEMS.values() for entity in (*system.owns, *system.derives)]
    while waiting:
        entity = next(each for each in waiting if followed_by(each) <= timelines.keys())
        waiting.remove(entity)
        submissions = list(register.in_effect(entity.id))
        if entity is ACCOUNT:
            timelines[entity.id] = ReferenceTimeline()
            for day, is_open, values in accounts:
                version = EntityVersion(day, is_open, values, (day, None))
                timelines[entity.id].versions.setdefault((), []).append(version)
        elif entity.is_derived:
            timelines[entity.id] = _derived(entity, life)
        elif submissions or _opens_by_residence(entity, life, today):
            timelines[entity.id] = fold_entity(entity, submissions, life, timelines)
        else:
            timelines[entity.id] = ReferenceTimeline()
    return timelines


def _opens_by_residence(entity: Entity, life: ReferenceLife, today: str) -> bool:
    ages = [
        rule.from_age for _, _, follows in law_of(entity) for rule in follows if isinstance(rule, ByResidence)
    ]
    births = {each.facts["birth_date"] for each in life.days if each.facts}
    return any(age_reached_on(birth, age) <= today for birth in births for age in ages)


def followed_by(entity: Entity) -> set[str]:
    """Return the ids of the entities that an entity follows."""
    rules = [rule for _, _, follows in law_of(entity) for rule in follows]
    return {rule.entity.id for rule in rules if isinstance(rule, FollowsEntity)}


def _derived(entity: Entity, life: ReferenceLife) -> ReferenceTimeline:
    """Return the timeline of the resident, or of the confirmed registration in each municipality."""
    timeline = ReferenceTimeline()
    for each in life.days:
        if not each.facts:
            continue
        values: dict[str, str | None] = {name: each.facts.get(name) for name in entity.field_names}
        if "roman" in values:
            values["roman"] = romanize(each.facts["kana"])
        here: EntityKey = (each.municipality or "",) if entity is REGISTRATION else ()
        for key, versions in timeline.versions.items():
            if key != here and versions[-1].is_open:
                versions.append(EntityVersion(each.day, False, versions[-1].values, versions[-1].opened))
        if here != ("",):
            version = EntityVersion(each.day, not each.dead, values, (each.day, None))
            timeline.versions.setdefault(here, []).append(version)
    return timeline


def without_effect(timelines: Mapping[str, ReferenceTimeline]) -> list[EntityEvent]:
    """Return the events without effect, of all entities but those of the high level, whose conflicts are sealed."""
    return [
        event
        for timeline in timelines.values()
        for event in timeline.without_effect
        if not SYSTEMS[event.system].is_high
    ]


def _value(reads: Reads, column: str, version: EntityVersion) -> str | None:
    """Return a column of a version: a field, or what a rule makes of one."""
    coarser = reads.coarser.get(column)
    if coarser is None:
        return version.values[column]
    value, rule = version.values[coarser.field], coarser.rule
    if value is None:
        return None
    if isinstance(rule, OneOf):
        (result,) = [result for result, values in rule.values.items() if value in values]
        return result
    reached = {amount: result for amount, result in rule.amounts.items() if int(value) >= amount}
    return reached[max(reached)] if reached else rule.first


@dataclass(frozen=True)
class ReadingsOfPerson:
    """What the rows of a person's readings follow from.

    `measure_ahead` is the day of a notice by which the person is protected already, although it hasn't come.
    """

    life: ReferenceLife
    timelines: Mapping[str, ReferenceTimeline]
    open_rows: OpenRows = field(default_factory=dict)
    measure_ahead: str = ""

    def rows(self, today: str) -> Iterator[ReadingRow]:
        """Yield the rows of all readings on a day; a domain of the high level has none that has ended."""
        for domain in DOMAINS.values():
            for reads in [reads for reads in domain.reads if not reads.ended]:
                for key in self.timelines[reads.entity.id].versions:
                    refs = tuple(each.name for each in reads.fields if each.is_person_ref)
                    for part in self._parts(domain, reads, key):
                        row = self.row(domain, reads, key, today, part)
                        if row is not None and not (domain.is_high and row["status"] == "closed"):
                            yield ReadingRow(f"{domain.schema_name}.{reads.name}", row, refs)

    def _parts(self, domain: Domain, reads: Reads, key: EntityKey) -> set[str | None]:
        """Return the municipalities that have a row of a key: its own, or those that have what the holder holds."""
        if reads.entity.by_part:
            return {key[reads.entity.key.index(PART)]}
        holders = reads.holders
        if not domain.municipal or isinstance(holders, Enrolled):
            return {None}
        return {held[holders.entity.key.index(PART)] for held in self.timelines[holders.entity.id].versions}

    def row(
        self, domain: Domain, reads: Reads, key: EntityKey, today: str, part: str | None = None
    ) -> dict[str, Any] | None:
        """Return a municipality's row of a key on a day; None before the first day on which the domain sees it.

        `part` matters only where the municipality isn't in the key. `effective_on` is the first day since which the
        domain sees the row as it is now.
        """
        if reads.entity.by_part:
            part = key[reads.entity.key.index(PART)]
        now = self._visible(domain, reads, key, today, part)
        if now is None:
            return None
        effective_on = today
        for day in sorted((each for each in self._days if each <= today), reverse=True):
            if self._visible(domain, reads, key, day, part) != now:
                break
            effective_on = day
        if self.measure_ahead and now != replace(self, measure_ahead="")._visible(
            domain, reads, key, today, part
        ):
            effective_on = self.measure_ahead
        return {**now, "effective_on": effective_on}

    @cached_property
    def _days(self) -> set[str]:
        """Return the days on which anything may become different."""
        days = {
            version.day for each in self.timelines.values() for v in each.versions.values() for version in v
        }
        return days | {each.day for each in self.life.days} | self.open_rows.keys()

    def _visible(
        self, domain: Domain, reads: Reads, key: EntityKey, day: str, part: str | None
    ) -> dict[str, Any] | None:
        """Return what the domain sees of a key on a day; None if it doesn't know it yet.

        A row that isn't covered any more has the values of the last day on which it was.
        """
        last = self._last_covered(domain, reads, part, day)
        version = self.timelines[reads.entity.id].on(key, last) if last is not None else None
        if version is None:
            return None
        is_open = version.is_open and last == day
        is_withheld = not is_open or self.life.on(day).protected or bool(self.measure_ahead)
        columns = {
            each.name: None if each.is_location and is_withheld else _value(reads, each.name, version)
            for each in reads.fields
            if each.conversion != "household"
        }
        status = {"status": "active" if is_open else "closed"}
        return ({} if part is None else {"municipality": part}) | status | columns

    def _last_covered(self, domain: Domain, reads: Reads, part: str | None, day: str) -> str | None:
        """Return the day itself if the person belongs to those whom the reading is about, or the last such day."""
        if self._is_covered(domain, reads, part, day):
            return day
        changes = sorted((each for each in self._days if each <= day), reverse=True)
        for change in changes:
            if self._is_covered(domain, reads, part, add_days(change, -1)):
                return add_days(change, -1)
        return None

    def _is_covered(self, domain: Domain, reads: Reads, part: str | None, day: str) -> bool:
        holders = reads.holders
        if isinstance(holders, Enrolled):
            days = [each for each in self.open_rows if each <= day]
            return bool(days) and (domain.id, part) in self.open_rows[max(days)]
        if holders.entity.id == reads.entity.id:
            return True
        other = holders.entity
        position = other.key.index(PART) if other.by_part and part is not None else None
        timeline = self.timelines[other.id]
        held = [
            timeline.on(key, day) for key in timeline.versions if position is None or key[position] == part
        ]
        return any(version is not None and version.is_open for version in held)
