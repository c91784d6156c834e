"""Events of declared entities about the city's residents, made from the declarations: no entity is known by name.

For each key a plausible life: opened, changed, closed. Some events are taken back, some are submitted twice, late, or
before the person is known, and a few have a wrong form.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from infra.verification.synthetic.city import FIRST_DAY, START, City
from infra.verification.synthetic.field_values import random_value
from infra.verification.synthetic.municipality import add_days
from infra.verification.synthetic.residents import Resident
from schemas.declare import CANCELLED, PART, Effect, Entity, EntityField, Event, Expires, FollowsEntity
from schemas.systems import SYSTEMS, System

#: How many of the residents have anything of an entity; of these, how many have a second key.
_SHARE, _SECOND_KEY = 0.08, 0.15
#: How many have anything of an entity that holds for a year, as a tax does.
_SHARE_OF_YEAR = 0.3
#: Of the events, how many are taken back, submitted twice, or of a wrong form; of those taken back, how many twice.
_CANCELLED, _TWICE, _WRONG_FORM, _CANCELLED_TWICE = 0.05, 0.02, 0.005, 0.1
#: How many numbers are used again, with other content.
_NUMBER_TAKEN = 0.003
#: Of what happens to several persons, the most of one household, how often it is all of them, and how many of the
#: cancellations leave one of them out.
_MEMBERS_MAX, _ALL_MEMBERS, _CANCELLED_IN_PART = 4, 0.7, 0.1
#: Days before the first registrations on which a key may open.
_DAYS_BEFORE = 300
#: Days from an event to the next one of its key, and from an event to its recording, drawn at random.
_STEPS, _LAGS = (0, 1, 3, 8, 20, 60), (0, 0, 0, 1, 3, 9)

Line = dict[str, object]
#: System, municipality ("" if national) and number of an event.
EventName = tuple[str, str, str]


@dataclass
class _Submitted:
    """The lines of one submitter with the day of recording, and numbers for the next ones."""

    system: str
    part: str | None
    numbers: count[int]
    lines: list[tuple[str, int, Line]] = field(default_factory=list)

    def number(self) -> str:
        """Return an unused number. Numbers are scattered: they don't show the order of the events."""
        return f"{self.system[:8].upper()}-{next(self.numbers) * 618_033_989 % 10**9:09d}"

    def add(self, recorded_on: str, line: Line) -> None:
        """Append a line; the file is sorted by the day of recording."""
        self.lines.append((recorded_on, len(self.lines), line))


def write_entity_events(folder: Path, city: City, seed: int, days: int) -> None:
    """Write `events_<system>[_<municipality>].jsonl` for each system that owns entities.

    The rest of the city doesn't depend on it. Add to the city's counts what is rejected and what is submitted twice.
    """
    rng = random.Random(f"entities {seed}")  # noqa: S311 (invented events, nothing secret)
    events = EntityEvents(city, rng, add_days(START, days - 1))
    for system in SYSTEMS.values():
        for entity in system.owns:
            events.add_entity(system, entity)
    for submitted in (each for each in events.by_submitter.values() if each.lines):
        name = f"events_{submitted.system}{f'_{submitted.part}' if submitted.part else ''}.jsonl"
        lines = sorted(submitted.lines, key=lambda recorded: recorded[:2])
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for _, _, line in lines)


class EntityEvents:
    """The events of all entities so far. `keys` are those of each person, by entity."""

    def __init__(self, city: City, rng: random.Random, last_day: str) -> None:
        self.city, self.rng, self.last_day = city, rng, last_day
        self.by_submitter: dict[tuple[str, str | None], _Submitted] = {}
        self.keys: dict[tuple[str, str], list[str]] = {}

    def add_entity(self, system: System, entity: Entity) -> None:
        """Add the events of an entity about a part of the residents."""
        households = _households(self.city.residents) if any(e.of_members for e in entity.events) else {}
        for person in self.city.residents:
            share = _SHARE if entity.residence_on is None else _SHARE_OF_YEAR
            if self.rng.random() > share or not _may_have(entity, person):
                continue
            for _ in range(1 + (self.rng.random() < _SECOND_KEY)):
                part = self._part(person) if system.municipal else None
                others = [each for each in households.get(_household(person), ()) if each is not person]
                self._add_key(system, entity, [person, *others[: _MEMBERS_MAX - 1]], part)

    def _part(self, person: Resident) -> str:
        """Return a municipality where the person lived, or rarely any."""
        if person.stays and self.rng.random() < 0.97:
            return self.rng.choice(person.stays).municipality
        return self.rng.choice(self.city.registers).municipality.code

    def _add_key(self, system: System, entity: Entity, persons: Sequence[Resident], part: str | None) -> None:
        """Add the life of one key: opened unless that is forgotten, then changed, closed and opened again.

        What happens to several persons happens to all of these or to some, anything else to one of them.
        """
        person = persons[0]
        key = {name: self._key_value(entity, name) for name in entity.key if name != PART}
        for value in key.values():
            self.keys.setdefault((person.code, entity.id), []).append(value)
        submitted = self._submitted(system, part)
        is_open = entity.by_residence is not None or self.rng.random() < 0.03
        for day in self._days_of_key(entity, person, part):
            fitting = [event for event in entity.events if (event.effect is Effect.OPENS) is not is_open]
            event = self.rng.choice(fitting)
            if event.effect is Effect.CLOSES and self.rng.random() < 0.5:
                continue
            is_open = event.effect is not Effect.CLOSES
            named = self._named(event, persons)
            values = {**key, **self._values(entity, event, named if event.of_members else persons, day)}
            self._submit(submitted, system, named, event, day, values)

    def _named(self, event: Event, persons: Sequence[Resident]) -> Sequence[Resident]:
        if len(persons) == 1 or (event.of_members and self.rng.random() < _ALL_MEMBERS):
            return persons
        return self.rng.sample(persons, self.rng.randint(1, len(persons)) if event.of_members else 1)

    def _key_value(self, entity: Entity, name: str) -> str:
        """Return a value of a field of the key; what holds for a year mostly has the city's last one."""
        rule = entity.residence_on
        if rule is None or name != rule.year:
            return random_value(entity.field(name), self.rng)
        year = int(self.last_day[:4])
        return str(self.rng.choice((*[year] * 18, year - 1, year + 1)))

    def _submitted(self, system: System, part: str | None) -> _Submitted:
        first = count(1 + self.city.first_index)
        return self.by_submitter.setdefault((system.id, part), _Submitted(system.id, part, first))

    def _days_of_key(self, entity: Entity, person: Resident, part: str | None) -> Iterator[str]:
        """Yield the days of a key's events, in their order, up to the last day of the city.

        What a municipality submits begins in a stay of the person there, if there was one; what holds for a year begins
        in that year, or rarely before.
        """
        rule = entity.residence_on
        stays = [stay for stay in person.stays if stay.municipality == part]
        first = (
            add_days(self.rng.choice(stays).since, self.rng.choice((-1, 0, 0, 1, 5)))
            if stays
            else (
                add_days(FIRST_DAY, -self.rng.randrange(_DAYS_BEFORE))
                if self.rng.random() < 0.5
                else add_days(FIRST_DAY, self.rng.randrange(40))
            )
        )
        if rule is not None:
            of_year = f"{self.last_day[:4]}-{rule.month:02d}-{rule.day:02d}"
            first = min(add_days(of_year, self.rng.choice((-1, *range(12)))), self.last_day)
        day = first
        for _ in range(self.rng.choice((1, 1, 2, 3, 5))):
            if day <= self.last_day:
                yield day
            day = add_days(day, self.rng.choice(_STEPS))

    def _values(self, entity: Entity, event: Event, persons: Sequence[Resident], day: str) -> dict[str, str]:
        followed = {rule.by: rule.entity for rule in entity.follows if isinstance(rule, FollowsEntity)}
        expiring = {rule.field for rule in entity.follows if isinstance(rule, Expires)}
        values = {}
        for name in event.fields:
            declared = entity.field(name)
            known = self.keys.get((persons[0].code, followed[name].id)) if name in followed else None
            if declared.is_optional and self.rng.random() < 0.4:
                continue
            if known and self.rng.random() < 0.9:
                values[name] = self.rng.choice(known)
            elif declared.is_person_ref:
                values[name] = self.rng.choice(persons).code
            elif declared.type == "date":
                near = name in expiring and self.rng.random() < 0.3
                values[name] = add_days(
                    day, self.rng.randint(-5, 40) if near else self.rng.randint(300, 3650)
                )
            else:
                values[name] = random_value(declared, self.rng)
        return values

    # -- submissions

    def _submit(  # noqa: PLR0913, PLR0917 (an event has as many parts)
        self,
        submitted: _Submitted,
        system: System,
        persons: Sequence[Resident],
        event: Event,
        day: str,
        values: Mapping[str, str],
    ) -> None:
        recorded_on = add_days(day, self.rng.choice(_LAGS))
        codes = [person.code for person in persons]
        named: Line = {"members": codes} if event.of_members else {"code": codes[0]}
        line: Line = {**self._head(submitted, named, event.name, day, recorded_on), **values}
        if self.rng.random() < _WRONG_FORM:
            self._reject(submitted, recorded_on, self._of_wrong_form(system, line))
            return
        submitted.add(recorded_on, line)
        if self.rng.random() < _TWICE:
            submitted.add(recorded_on, line)
            self.city.expected.events_twice += 1
        if self.rng.random() < _NUMBER_TAKEN:
            self._reject(submitted, recorded_on, {**line, "effective_on": add_days(day, -1)})
        if self.rng.random() < _CANCELLED:
            self._cancel(submitted, named, line, recorded_on)

    def _head(self, submitted: _Submitted, named: Line, event: str, day: str, recorded_on: str) -> Line:
        head: Line = {"event": event, "number": submitted.number(), "effective_on": day}
        head |= {"recorded_on": recorded_on, **named}
        return head | ({"municipality": submitted.part} if submitted.part else {})

    def _cancel(self, submitted: _Submitted, named: Line, line: Line, recorded_on: str) -> None:
        day, on = str(line["effective_on"]), add_days(recorded_on, self.rng.choice(_LAGS))
        cancellation = self._head(submitted, named, CANCELLED, day, on) | {"cancels": line["number"]}
        members = named.get("members")
        if isinstance(members, list) and len(members) > 1 and self.rng.random() < _CANCELLED_IN_PART:
            self._reject(submitted, on, {**cancellation, "members": members[1:]})
            return
        submitted.add(on, cancellation)
        if self.rng.random() < _CANCELLED_TWICE:
            self._reject(submitted, on, {**cancellation, "number": submitted.number()})
        if self.rng.random() < _CANCELLED_TWICE:
            unknown = {**cancellation, "number": submitted.number(), "cancels": submitted.number()}
            self._reject(submitted, on, unknown)

    def _reject(self, submitted: _Submitted, recorded_on: str, line: Line) -> None:
        submitted.add(recorded_on, line)
        name = (submitted.system, submitted.part or "", str(line["number"]))
        self.city.expected.rejected_events.add(name)

    def _of_wrong_form(self, system: System, line: Line) -> Line:
        """Return a line with one thing that isn't as declared."""
        entity, event = system.entity_of(str(line["event"]))
        brought = list(entity.brought_by(event).values())
        others = [each.name for each in system.submitted_fields if each not in brought]
        wrong: list[Line] = [
            {"event": f"{event.name}s"},
            {"effective_on": "2026-02-30"},
            {"code": "123"},
            {"cancels": "1"},
        ]
        wrong += [{name: "1"} for name in others]
        wrong += [{each.name: None} for each in brought if not each.is_optional]
        wrong += [{each.name: _wrong_value(each)} for each in brought]
        members = line.get("members")
        if isinstance(members, list):
            wrong += [{"members": some} for some in ([], [*members, members[0]], [*members, "123"])]
            wrong += [{each.name: "9" * each.characters_max} for each in brought if each.is_person_ref]
        elif system.submits_members:
            wrong.append({"members": [line["code"]]})
        return line | self.rng.choice(wrong)


def _household(person: Resident) -> str:
    """Return the household of a person on the first day of changes; "" if there is none."""
    return person.facts_on(START).get("household", "")


def _households(residents: Sequence[Resident]) -> dict[str, list[Resident]]:
    households: dict[str, list[Resident]] = {}
    for person in residents:
        if number := _household(person):
            households.setdefault(number, []).append(person)
    return households


def _may_have(entity: Entity, person: Resident) -> bool:
    """Return whether a person is old enough for what is open by residence."""
    rule = entity.by_residence
    born = person.facts_on(START).get("birth_date", START)
    return rule is None or int(born[:4]) + rule.from_age <= int(START[:4])


def _wrong_value(declared: EntityField) -> str:
    return "2026-13-01" if declared.type == "date" else "\u3000" * (declared.characters_max + 1)
