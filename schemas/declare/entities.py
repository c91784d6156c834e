"""Declared entities: a kind of fact about a person, with its key, fields, events and rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final, NamedTuple

from schemas.declare.column_names import COMMON_NAMES, DERIVED_NAMES, FIELD_NAME, NAME_MAX, SYSTEM_COLUMNS
from schemas.declare.entity_events import CANCELLED, ENROLLED, Effect, Event, TakesOver
from schemas.declare.entity_fields import DeclarationError, EntityField
from schemas.declare.entity_rules import (
    ByResidence,
    Cause,
    Expires,
    FinalValue,
    Follows,
    Invariant,
    Level,
    OfResidenceOn,
    require_level,
)

#: Part of a key: the municipality whose system submitted the event.
PART: Final = "municipality"

#: Digits of a year in a key, and one that isn't a leap year.
YEAR_DIGITS: Final = 4
SHORT_YEAR: Final = 2001

_ENTITY_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_EVENT_NAME: Final = re.compile(r"([A-Z][a-z0-9]*)+")


@dataclass(frozen=True)
class FollowsEntity:
    """An event that follows once a key of another entity has one of these values in `field`, or is closed.

    `by` is the field that has the key of the other entity; so the other entity has one field in its key.
    """

    event: str
    entity: Entity
    by: str
    field: str
    values: tuple[str, ...]


Consequence = Follows | FollowsEntity | Expires | ByResidence


@dataclass(frozen=True)
class Amendment:
    """Other rules of an entity from a first day on, as a law changes them; what is None stays as it was.

    Days before keep the rules of before. A `correction` reaches back instead: it replaces the rules that are in force
    on its first day on all days on which they are.
    """

    first_day: date
    invariants: tuple[Invariant, ...] | None = None
    follows: tuple[Consequence, ...] | None = None
    correction: bool = False


class Rules(NamedTuple):
    """The rules of an entity that are in force from `first_day` on."""

    first_day: date
    invariants: tuple[Invariant, ...]
    follows: tuple[Consequence, ...]

    @property
    def by_residence(self) -> ByResidence | None:
        """The rule by which it is open where the person is registered; None if there is none."""
        return next((each for each in self.follows if isinstance(each, ByResidence)), None)

    @property
    def residence_on(self) -> OfResidenceOn | None:
        """The rule by which the municipality of one day has it; None if there is none."""
        return next((each for each in self.invariants if isinstance(each, OfResidenceOn)), None)


@dataclass(frozen=True)
class Entity:
    """A kind of fact about a person, with one owner, and the events that tell of it.

    `key` are the fields (or PART) that tell a person's facts of this kind apart; without a key there is one of them.
    The order of `events` is the order in which events of one day take effect. What `follows` by itself takes effect
    before the events of its day. `amendments` change invariants and consequences from a day on. One that `is_derived`
    has no events: the mesh makes it of what is submitted otherwise. At the high `level` nobody outside sees of whom
    there is one; the level of an entity never changes.
    """

    id: str
    japanese: str
    fields: tuple[EntityField, ...]
    events: tuple[Event, ...]
    key: tuple[str, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    follows: tuple[Consequence, ...] = ()
    is_derived: bool = False
    amendments: tuple[Amendment, ...] = ()
    level: Level = Level.STANDARD

    def __post_init__(self) -> None:
        if not _ENTITY_ID.fullmatch(self.id):
            raise DeclarationError(f"entity {self.id!r}: the id must be lower-case words joined by hyphens")
        require_level(self.id, self.level)
        self._check_fields()
        self._check_key()
        for event in self.events:
            self._check_event(event)
            if event.takes_over is not None:
                self._check_taking_over(event, event.takes_over)
        if len({event.name for event in self.events}) < len(self.events):
            raise DeclarationError(f"{self.id}: an event is declared twice")
        if not self.is_derived and not any(event.effect is Effect.OPENS for event in self.events):
            raise DeclarationError(f"{self.id}: no event opens it")
        self._check_amendments()
        for rules in self.rules:
            self._check_rules(rules)
        self._check_level()

    def _check_rules(self, rules: Rules) -> None:
        for invariant in rules.invariants:
            self._check_invariant(invariant)
        for consequence in rules.follows:
            self._check_consequence(consequence)
            if isinstance(consequence, Follows) and consequence.when is Cause.LEFT:
                self._check_leaving(consequence)

    def _check_fields(self) -> None:
        for name in self.field_names:
            if not FIELD_NAME.fullmatch(name):
                raise DeclarationError(
                    f"{self.id}: field {name!r} must be lower-case words joined by underscores"
                )
            allowed = DERIVED_NAMES if self.is_derived else frozenset[str]()
            if name in (COMMON_NAMES | SYSTEM_COLUMNS) - allowed:
                raise DeclarationError(f"{self.id}: field {name} has the name of a column that every row has")
            if len(name) > NAME_MAX:
                raise DeclarationError(
                    f"{self.id}: the name of field {name} is longer than {NAME_MAX} characters"
                )
        if len(set(self.field_names)) < len(self.fields):
            raise DeclarationError(f"{self.id}: a field is declared twice")

    def _check_key(self) -> None:
        for name in self.key:
            if name not in (*self.field_names, PART):
                raise DeclarationError(f"{self.id}: the key has {name}, which is no field")
            if name != PART and self.field(name).is_optional:
                raise DeclarationError(f"{self.id}: field {name} is part of the key and can't be optional")
            if name != PART and self.field(name).is_location:
                raise DeclarationError(f"{self.id}: field {name} is part of the key and can't be withheld")
            if name != PART and self.field(name).is_person_ref:
                raise DeclarationError(
                    f"{self.id}: field {name} is part of the key and can't be another person"
                )

    def _check_event(self, event: Event) -> None:
        if not _EVENT_NAME.fullmatch(event.name) or event.name in (CANCELLED, ENROLLED):
            raise DeclarationError(f"{self.id}: event {event.name!r} must be a name such as CardIssued")
        for name in (*event.fields, *event.sets):
            if name not in self.field_names or name in self.key:
                raise DeclarationError(
                    f"{self.id}: event {event.name} has {name}, which is no field, or is the key"
                )
        for name, value in event.sets.items():
            if name in event.fields:
                raise DeclarationError(f"{self.id}: event {event.name} both brings and sets {name}")
            if not _may_have(self.field(name), value):
                raise DeclarationError(
                    f"{self.id}: event {event.name} sets {name} to {value!r}, which is no choice"
                )
        missing = [
            f.name for f in self.fields if not (f.is_optional or f.name in event.given or f.name in self.key)
        ]
        if event.effect is Effect.OPENS and missing:
            raise DeclarationError(f"{self.id}: event {event.name} opens it without {', '.join(missing)}")

    def _check_taking_over(self, event: Event, rule: TakesOver) -> None:
        closing = [each.name for each in self.events if each.effect is Effect.CLOSES]
        days = [each.name for each in self.fields if each.type == "date"]
        if self.key != (PART,) or event.effect is not Effect.OPENS:
            raise DeclarationError(f"{self.id}: {event.name} takes over, so it opens, and the key is (PART,)")
        if not {*rule.fields} <= {*self.field_names} or rule.last_day not in (None, *days):
            raise DeclarationError(
                f"{self.id}: {event.name} takes over what is no field, or until what is no day"
            )
        if rule.closes not in closing:
            raise DeclarationError(
                f"{self.id}: {event.name} closes by {rule.closes}, which isn't such an event"
            )

    def _check_amendments(self) -> None:
        days = [each.first_day for each in self.amendments if not each.correction]
        if days != sorted(set(days)):
            raise DeclarationError(f"{self.id}: the amendments must be in the order of their first days")
        by_residence = [rules.by_residence for rules in self.rules]
        if len({rule and (rule.opens, rule.closes) for rule in by_residence}) > 1:
            raise DeclarationError(f"{self.id}: an amendment changes what opens and closes it by residence")

    def _check_invariant(self, invariant: Invariant) -> None:
        if isinstance(invariant, OfResidenceOn):
            self._check_residence_on(invariant)
            return
        values = (invariant.value,) if isinstance(invariant, FinalValue) else invariant.values
        if invariant.field is None:
            return
        if invariant.field not in self.field_names:
            raise DeclarationError(f"{self.id}: an invariant is about {invariant.field}, which is no field")
        choices = self.field(invariant.field).choices
        if choices and not set(values) <= set(choices):
            raise DeclarationError(
                f"{self.id}: an invariant is about a value that {invariant.field} can't have"
            )

    def _check_residence_on(self, invariant: OfResidenceOn) -> None:
        if not {PART, invariant.year} <= set(self.key) or invariant.year == PART:
            raise DeclarationError(
                f"{self.id}: what only the municipality of a day has must have that and the year in its key"
            )
        year = self.field(invariant.year)
        if not re.fullmatch(year.pattern or ".", "2000") or year.characters_max != YEAR_DIGITS:
            raise DeclarationError(
                f"{self.id}: {invariant.year} must have {YEAR_DIGITS} digits, as a year has"
            )
        try:
            date(SHORT_YEAR, invariant.month, invariant.day)
        except ValueError as error:
            raise DeclarationError(
                f"{self.id}: day {invariant.day} of month {invariant.month} isn't in every year"
            ) from error
        if self.by_residence is not None:
            raise DeclarationError(f"{self.id}: it can't be both by residence and by that of a day")

    def _check_consequence(self, consequence: Consequence) -> None:
        if isinstance(consequence, ByResidence):
            names: tuple[str, ...] = (consequence.opens, consequence.closes)
            if self.key != (PART,):
                raise DeclarationError(f"{self.id}: what is open by residence must have the key (PART,)")
        else:
            names = (consequence.event,)
        for name in names:
            if name not in {event.name for event in self.events}:
                raise DeclarationError(f"{self.id}: {name} follows by itself, but is no event")
        if isinstance(consequence, Expires) and self.field(consequence.field).type != "date":
            raise DeclarationError(f"{self.id}: it expires by {consequence.field}, which is no day")
        if isinstance(consequence, FollowsEntity) and len(consequence.entity.key) != 1:
            raise DeclarationError(
                f"{self.id}: it follows {consequence.entity.id}, whose key isn't one field"
            )

    def _check_leaving(self, rule: Follows) -> None:
        if not self.by_part or rule.stays:
            raise DeclarationError(
                f"{self.id}: {rule.event} follows once the person has left the municipality,"
                " so the key must have PART, and it can't stay"
            )

    def _check_level(self) -> None:
        if self.is_high and (self.is_derived or self.by_residence is not None):
            raise DeclarationError(
                f"{self.id}: at the high level it must be submitted; what follows from a residence alone is no secret"
            )
        for rule in self.all_follows:
            if isinstance(rule, FollowsEntity) and rule.entity.is_high and not self.is_high:
                raise DeclarationError(
                    f"{self.id}: it follows {rule.entity.id}, which is of the high level, so it must be of it too"
                )

    @property
    def is_high(self) -> bool:
        """Whether it is of the high level."""
        return self.level is Level.HIGH

    @cached_property
    def depends_on_person(self) -> bool:
        """Whether anything of it follows from what happens to the person."""
        return any(isinstance(each, (Follows, ByResidence)) for each in self.all_follows)

    @cached_property
    def by_residence(self) -> ByResidence | None:
        """The first rule by which it is open where the person is registered; None if there is none."""
        return self.rules[0].by_residence

    @cached_property
    def rules(self) -> tuple[Rules, ...]:
        """The rules of all days, the earliest first; the first are in force on all days before the second."""
        rules = [Rules(date.min, self.invariants, self.follows)]
        for amendment in self.amendments:
            index = max(index for index, each in enumerate(rules) if each.first_day <= amendment.first_day)
            before = rules[index]
            invariants = before.invariants if amendment.invariants is None else amendment.invariants
            follows = before.follows if amendment.follows is None else amendment.follows
            if amendment.correction:
                rules[index] = Rules(before.first_day, invariants, follows)
            else:
                rules.append(Rules(amendment.first_day, invariants, follows))
        return tuple(rules)

    def rules_on(self, day: date) -> Rules:
        """Return the rules that are in force on a day."""
        if len(self.rules) == 1:  # Nearly always.
            return self.rules[0]
        return next(rules for rules in reversed(self.rules) if rules.first_day <= day)

    @cached_property
    def all_follows(self) -> tuple[Consequence, ...]:
        """The consequences of any day, each once."""
        found: list[Consequence] = []
        for rules in self.rules:
            found += [each for each in rules.follows if each not in found]
        return tuple(found)

    @cached_property
    def residence_on(self) -> OfResidenceOn | None:
        """The latest rule by which the municipality of one day has it; None if there is none."""
        return self.rules[-1].residence_on

    @cached_property
    def expires(self) -> tuple[Expires, ...]:
        """The rules of any day by which it expires."""
        return tuple(each for each in self.all_follows if isinstance(each, Expires))

    @cached_property
    def follows_entities(self) -> tuple[FollowsEntity, ...]:
        """The rules of any day by which it follows another entity."""
        return tuple(each for each in self.all_follows if isinstance(each, FollowsEntity))

    @cached_property
    def is_by_residence_alone(self) -> bool:
        """Whether nothing but the residence opens, changes or closes it by itself."""
        return bool(self.all_follows) and all(isinstance(each, ByResidence) for each in self.all_follows)

    @cached_property
    def is_residence_simple(self) -> bool:
        """Whether nothing but the residence affects its rule by residence while nothing is submitted."""
        if (rule := self.by_residence) is None or len(self.rules) > 1 or self.invariants:
            return False
        return rule.keeps is None or self.event(rule.opens).sets.get(rule.keeps[0]) != rule.keeps[1]

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields, in their order."""
        return tuple(declared.name for declared in self.fields)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each field."""
        return {name: position for position, name in enumerate(self.field_names)}

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """The rank of each event among those of one day."""
        return {event.name: rank for rank, event in enumerate(self.events)}

    @cached_property
    def key_fields(self) -> tuple[str, ...]:
        """The fields of the key, without PART."""
        return tuple(name for name in self.key if name != PART)

    @cached_property
    def by_part(self) -> bool:
        """Whether each municipality has facts of its own about a person."""
        return PART in self.key

    @cached_property
    def person_refs(self) -> tuple[str, ...]:
        """The names of the fields that name another person."""
        return tuple(declared.name for declared in self.fields if declared.is_person_ref)

    def field(self, name: str) -> EntityField:
        """Return a field. Raise KeyError if there is none with this name."""
        if name not in self.positions:
            raise KeyError(f"entity {self.id} has no field {name}")
        return self.fields[self.positions[name]]

    def brought_by(self, event: Event) -> dict[str, EntityField]:
        """Return the fields that an event brings, by name: those of the key, and its own."""
        return {name: self.field(name) for name in (*self.key_fields, *event.fields)}

    def event(self, name: str) -> Event:
        """Return an event. Raise KeyError if there is none with this name."""
        if name not in self.ranks:
            raise KeyError(f"entity {self.id} has no event {name}")
        return self.events[self.ranks[name]]


def _may_have(declared: EntityField, value: str) -> bool:
    """Return whether an event may set a field to a value."""
    if declared.flags:
        return re.fullmatch(declared.pattern, value) is not None
    return not declared.is_person_ref and (not declared.choices or value in declared.choices)
