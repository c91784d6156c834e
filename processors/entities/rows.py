"""Readings: from the timeline of an entity to the rows that the domains receive of it on a day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Final, NamedTuple

from processors.entities.coverage import EVERYBODY, CoverageState, held, open_periods
from processors.entities.timeline import Key, Timeline, Version, version_on
from schemas.declare import (
    ACCOUNT,
    PART,
    Coarser,
    Enrolled,
    Entity,
    Follows,
    FollowsEntity,
    HeldBy,
    Level,
    Reads,
    history_of,
)
from schemas.systems import DOMAINS, SYSTEMS
from schemas.systems.model import Domain

ACTIVE: Final = "active"
CLOSED: Final = "closed"
_DIGEST_BYTES: Final = 12

#: Every declared entity by its id.
ENTITIES: Final[Mapping[str, Entity]] = {
    entity.id: entity for system in SYSTEMS.values() for entity in (*system.owns, *system.derives)
}


def _followed(entity: Entity) -> dict[str, Entity]:
    """Return the entities that an entity follows, directly or through others, by id."""
    followed: dict[str, Entity] = {}
    for consequence in entity.all_follows:
        if isinstance(consequence, FollowsEntity):
            followed |= {consequence.entity.id: consequence.entity, **_followed(consequence.entity)}
    return followed


#: The ids of the entities that each entity follows.
FOLLOWED: Final[Mapping[str, frozenset[str]]] = {id_: frozenset(_followed(e)) for id_, e in ENTITIES.items()}
#: The ids of all entities, each after those that it follows. An entity can't follow itself, so there is such an order.
IN_ORDER: Final = tuple(sorted(ENTITIES, key=lambda id_: len(FOLLOWED[id_])))
#: The ids of the entities that are there without any submission.
BY_RESIDENCE: Final = tuple(id_ for id_, entity in ENTITIES.items() if entity.by_residence is not None)


class RowId(NamedTuple):
    """A row of a domain within the person. `key` has the values of the entity's key fields, `part` the municipality."""

    domain: str
    reading: str
    part: str | None
    key: tuple[str, ...]


class Row(NamedTuple):
    """A row as a domain receives it. `columns` has a value per field of the reading, the key first."""

    status: str
    effective_on: date
    columns: tuple[str | None, ...]

    @property
    def digest(self) -> str:
        """Digest of what the domain can see of the row; a column without a value doesn't count."""
        columns = [f"{index}={value}" for index, value in enumerate(self.columns) if value is not None]
        content = [self.status, self.effective_on.isoformat(), *columns]
        return blake2b("\x1f".join(content).encode(), digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True)
class PreparedReading:
    """A reading of a domain with the positions of its columns among the fields of the entity.

    `located` are the positions in the row of columns that point to the person's place, `coarser` the columns that say
    less than the field from which they are made, by their positions in the row. `covered_by` is the entity whose
    holders the reading is about, if it is another one; `for_enrolled` is whether it is about those who are enrolled.
    `history` is the name of the history's table, "" if it has none. If the reading `is_held_by_part`, each municipality
    that has the entity by which it is covered has rows.
    """

    domain: Domain
    reads: Reads
    positions: tuple[int, ...]
    located: frozenset[int]
    covered_by: Entity | None = None
    for_enrolled: bool = False
    history: str = ""
    coarser: Mapping[int, Coarser] = field(default_factory=dict)
    is_held_by_part: bool = False

    @cached_property
    def part_position(self) -> int | None:
        """The position of the municipality in the key of the entity; None if it has none there."""
        key = self.reads.entity.key
        return key.index(PART) if PART in key else None

    def visible(self, version: Version, *, is_hidden: bool) -> tuple[str | None, ...]:
        """Return the columns of a version; those that point to the person's place are null if they are hidden."""
        values = version.values
        columns = tuple([values[position] for position in self.positions])
        if is_hidden and self.located:
            columns = tuple(None if index in self.located else value for index, value in enumerate(columns))
        return self._with_coarser(columns) if self.coarser else columns

    def _with_coarser(self, columns: Sequence[str | None]) -> tuple[str | None, ...]:
        """Return columns, of which those that say less than their field are made from its value."""
        return tuple(
            self.coarser[index].rule.of(value) if index in self.coarser and value is not None else value
            for index, value in enumerate(columns)
        )


def prepared(domain: Domain, reads: Reads) -> PreparedReading:
    """Return a reading of a domain with its positions."""
    names = reads.entity.field_names
    coarser = {
        index: reads.coarser[declared.name]
        for index, declared in enumerate(reads.fields)
        if declared.name in reads.coarser
    }
    positions = tuple(
        names.index(coarser[index].field if index in coarser else declared.name)
        for index, declared in enumerate(reads.fields)
    )
    located = frozenset(index for index, declared in enumerate(reads.fields) if declared.is_location)
    holders = reads.holders
    other = holders.entity if isinstance(holders, HeldBy) and holders.entity.id != reads.entity.id else None
    history = history_of(reads).name if reads.history else ""
    for_enrolled = isinstance(holders, Enrolled)
    is_held_by_part = domain.municipal and reads.is_held_by_part
    return PreparedReading(
        domain, reads, positions, located, other, for_enrolled, history, coarser, is_held_by_part
    )


def _readings(level: Level) -> Mapping[str, tuple[PreparedReading, ...]]:
    """Return the readings of each entity by domains of one level, by its id, in the order of the declarations.

    Those that have ended have no rows.
    """
    return {
        id_: tuple(
            prepared(domain, reads)
            for domain in DOMAINS.values()
            if domain.level is level
            for reads in domain.reads
            if reads.entity.id == id_ and not reads.ended
        )
        for id_ in ENTITIES
    }


#: The readings of each entity, by its id, by domains of the standard level.
READINGS: Final = _readings(Level.STANDARD)
#: Those by domains of the high level. All are about the holders of an entity of that level.
HIGH_READINGS: Final = _readings(Level.HIGH)
#: The ids of the entities of the high level.
HIGH_ENTITIES: Final = frozenset(id_ for id_, entity in ENTITIES.items() if entity.is_high)


def _covered_by(readings: Mapping[str, tuple[PreparedReading, ...]]) -> Mapping[str, frozenset[str]]:
    """Return for each entity those whose holders one of these readings is about, by ids."""
    return {
        id_: frozenset(reading.covered_by.id for reading in of_entity if reading.covered_by is not None)
        for id_, of_entity in readings.items()
    }


def _dependencies(covered_by: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """Return the ids of the entities on which rows depend: those that an entity follows, or whose holders are meant."""
    return {
        id_: frozenset[str]().union(*(FOLLOWED[other] | {other} for other in FOLLOWED[id_] | covered_by[id_]))
        for id_ in ENTITIES
    }


#: For each entity those whose holders one of its readings is about, by ids.
COVERED_BY: Final = _covered_by(READINGS)
HIGH_COVERED_BY: Final = _covered_by(HIGH_READINGS)
#: The derived entities of which a domain reads the holders of others, with the ids of these. Of any other entity there
#: is nothing to read before something is submitted.
DERIVED_COVERED_BY: Final[Mapping[str, frozenset[str]]] = {
    id_: by for id_, by in COVERED_BY.items() if by and ENTITIES[id_].is_derived
}
#: The derived entities of which a domain reads everybody, everybody who is enrolled, or has another derived one.
READ_OF_EVERYBODY: Final = tuple(
    id_
    for id_, readings in READINGS.items()
    if ENTITIES[id_].is_derived
    and any(reading.covered_by is None or reading.covered_by.is_derived for reading in readings)
)
#: The entities of which a domain reads those who are enrolled in it.
READ_OF_ENROLLED: Final = tuple(
    id_ for id_, readings in READINGS.items() if any(reading.for_enrolled for reading in readings)
)
#: The readings of each entity that have a history, by its id.
HISTORIES: Final[Mapping[str, tuple[PreparedReading, ...]]] = {
    id_: tuple(reading for reading in readings if reading.history) for id_, readings in READINGS.items()
}
#: The entities whose timeline depends on the person's life, by ids.
BY_LIFE: Final = frozenset(
    id_ for id_, entity in ENTITIES.items() if entity.is_derived or entity.depends_on_person or entity.by_part
)
#: The entities with a history of what follows from the person's life.
HISTORIES_BY_LIFE: Final = tuple(
    id_ for id_ in ENTITIES if HISTORIES[id_] and not BY_LIFE.isdisjoint(FOLLOWED[id_] | {id_})
)
#: The ids of the entities on which the rows of each entity depend.
DEPENDENCIES: Final = _dependencies(COVERED_BY)
HIGH_DEPENDENCIES: Final = _dependencies(HIGH_COVERED_BY)
#: The entities that are there by residence, and depend on nothing else in the person's life.
BY_RESIDENCE_ALONE: Final = frozenset(
    id_
    for id_ in BY_RESIDENCE
    if not (DEPENDENCIES[id_] or any(isinstance(rule, Follows) for rule in ENTITIES[id_].all_follows))
)

#: The ids of the derived entities.
DERIVED: Final = frozenset(id_ for id_, entity in ENTITIES.items() if entity.is_derived)
#: The entities whose rows depend on the person's account.
READ_OF_ACCOUNT: Final = tuple(
    id_ for id_, readings in READINGS.items() if readings and ACCOUNT.id in {id_, *DEPENDENCIES[id_]}
)
HIGH_READ_OF_ACCOUNT: Final = tuple(
    id_
    for id_, readings in HIGH_READINGS.items()
    if readings and ACCOUNT.id in {id_, *HIGH_DEPENDENCIES[id_]}
)
IS_ACCOUNT_READ: Final = bool(READ_OF_ACCOUNT or HIGH_READ_OF_ACCOUNT)


#: Returns a person's coverage by enrolment in a domain and municipality; None if the person never was enrolled.
Enrolments = Callable[[str, str | None], CoverageState | None]


@dataclass(slots=True)  # Not frozen: that takes three times as long to make.
class RowContext:
    """What the rows of a person depend on besides the entity: the day, coverage, and whether the person is protected.

    `timelines` has those of the entities that cover a reading. `ever_protected` is whether the person is or was
    protected: then no row of a history shows a place. `protection_on` is the day on which the last measure began, or on
    which it ended.
    """

    day: date
    protected: bool
    timelines: Mapping[str, Timeline]
    enrolments: Enrolments
    ever_protected: bool = False
    protection_on: date = date.min

    def coverage(self, reading: PreparedReading, part: str | None) -> CoverageState | None:
        """Return the coverage of the person for rows of a part; None if there never was any."""
        if reading.for_enrolled:
            return self.enrolments(reading.domain.id, part)
        other = reading.covered_by
        if other is None:
            return EVERYBODY
        timeline = self.timelines.get(other.id)
        if timeline is None:
            return None
        position = other.key.index(PART) if other.by_part and part is not None else None
        keys = (
            versions
            for key, versions in timeline.versions.items()
            if position is None or key[position] == part
        )
        return held([period for versions in keys for period in open_periods(versions)], self.day)

    def holders(self, reading: PreparedReading) -> list[str]:
        """Return the municipalities that have, or had, the entity by which a reading is covered."""
        other = reading.covered_by
        timeline = self.timelines.get(other.id) if other is not None else None
        if other is None or timeline is None:
            return []
        position = other.key.index(PART)
        return sorted({key[position] for key in timeline.versions})


def rows_of(
    timeline: Timeline, readings: Sequence[PreparedReading], context: RowContext
) -> Iterator[tuple[RowId, Row]]:
    """Yield the rows of an entity, reading by reading, in the order of the keys.

    A key has a row from the day on which it is first opened. While the person is protected, columns that point to the
    person's place are null; once a row is closed, they are too. A row that is no longer covered is closed, and keeps
    the other values that it had.
    """
    for reading in readings:
        for key in sorted(timeline.versions):
            versions = timeline.versions[key]
            id_ = row_id(reading, key)
            parts = context.holders(reading) if reading.is_held_by_part else (id_.part,)
            for part in parts:
                row = _row_of_part(reading, versions, part, context)
                if row is not None:
                    yield id_ if part == id_.part else id_._replace(part=part), row


def row_id(reading: PreparedReading, key: Key) -> RowId:
    """Return the id of the row of a key of an entity."""
    position = reading.part_position
    if position is None:
        return RowId(reading.domain.id, reading.reads.name, None, key)
    of_part = (*key[:position], *key[position + 1 :])
    return RowId(reading.domain.id, reading.reads.name, key[position], of_part)


def _row_of_part(
    reading: PreparedReading, versions: Sequence[Version], part: str | None, context: RowContext
) -> Row | None:
    """Return a municipality's row (None: the national one) of a key; None if there was none yet."""
    coverage = context.coverage(reading, part)
    row = _row(reading, versions, coverage, context) if coverage is not None else None
    if row is None or row.status != CLOSED or coverage is None or coverage.since == date.min:
        return row
    if reading.for_enrolled or (coverage.open and row.effective_on != coverage.since):
        return row
    # What is closed looks the same whether or not the person is covered: it may have done so the day before.
    before = _row_of_part(reading, versions, part, replace(context, day=coverage.since - timedelta(days=1)))
    looked_the_same = before is not None and before._replace(effective_on=row.effective_on) == row
    return before if looked_the_same else row


def _row(
    reading: PreparedReading, versions: Sequence[Version], coverage: CoverageState, context: RowContext
) -> Row | None:
    """Return the row, since the day from which the domain sees it as it is; None if there was none yet."""
    last = context.day if coverage.open else coverage.since - timedelta(days=1)
    current = version_on(versions, last)
    if current is None:
        return None

    is_hidden = context.protected or not current.open or not coverage.open
    columns, since = reading.visible(current, is_hidden=is_hidden), current.begins
    if not coverage.open:
        return Row(CLOSED, coverage.since if current.open else max(since, coverage.began), columns)
    if current is not versions[0]:
        for version in reversed(versions[: versions.index(current)]):
            if version.open is not current.open or reading.visible(version, is_hidden=is_hidden) != columns:
                break
            since = version.begins
    if (
        current.open
        and reading.located
        and columns != reading.visible(current, is_hidden=not context.protected)
    ):
        since = max(since, context.protection_on)
    return Row(ACTIVE if current.open else CLOSED, max(since, coverage.since), columns)
