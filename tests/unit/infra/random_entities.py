"""Random entities, submissions about them, and lives, in the form of the processors and of the reference model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from random import Random
from typing import NamedTuple, TypeVar

from infra.verification.reference.notice import EntityEvent
from infra.verification.reference.reference_life import LifeCause, LifeDay, ReferenceLife
from processors.entities.causes import Life, PersonCause, ResidencePeriod
from processors.entities.timeline import Submission
from schemas.declare import (
    CANCELLED,
    PART,
    AtMostOneInForce,
    ByResidence,
    Cause,
    Consequence,
    Effect,
    Entity,
    EntityField,
    Event,
    Expires,
    FinalValue,
    Follows,
    FollowsEntity,
    Invariant,
    OfResidenceOn,
    choice,
    digits,
    text,
    yen,
)
from schemas.declare import day as day_field
from tests.unit.infra.random_amendments import random_amendments, with_taking_over

#: All submissions and causes are within these days.
FIRST, LAST_DAY = date(2026, 4, 1), 12
PARTS = ("131041", "131130")
FACTS = ("name", "address")
BIRTHS = (date(1940, 2, 29), date(1961, 4, 8))
_FIELDS: dict[str, EntityField] = {
    "serial": text("serial", "番号", 8),
    "branch": text("branch", "枝番", 8),
    "state": choice("state", "状態", "a", "b", "c"),
    "kind": choice("kind", "種別", "x", "y").optional(),
    "place": text("place", "場所", 20).optional().location(),
    "until": day_field("until", "期限").optional(),
    "amount": yen("amount", "金額").optional(),
    "base": text("base", "基", 8).optional(),
    "year": digits("year", "年", 4),
}
_VALUES = {
    "serial": ("K1", "K2"),
    "branch": ("1", "2"),
    "place": ("here", "there"),
    "amount": ("0", "1000"),
    "base": ("B1", "B2"),
    "year": ("2026", "2026", "2026", "2026", "2025", "2027", "0000"),
}
_KEYS = ((), ("serial",), ("serial", "branch"), (PART,), (PART, "serial"), (PART, "year"))

#: What another entity may follow: at most two keys, each good or bad, or closed.
BASE = Entity(
    "base",
    "基",
    (_FIELDS["base"].__class__("base", "番号", characters_max=8), choice("state", "状態", "good", "bad")),
    (
        Event("BaseOpened", "開始", Effect.OPENS, sets={"state": "good"}),
        Event("BaseChanged", "変更", Effect.CHANGES, ("state",)),
        Event("BaseClosed", "終了", Effect.CLOSES),
    ),
    key=("base",),
)


def day(number: int) -> date:
    """Return a day by its number, from 1."""
    return FIRST + timedelta(days=number - 1)


_Item = TypeVar("_Item")


class Move(NamedTuple):
    """From a day on, the registration in a municipality is confirmed; none if `part` is None, because of `cause`."""

    on: date
    part: str | None
    cause: Cause


@dataclass(frozen=True)
class Case:
    """An entity, what was submitted about it and about `BASE`, and the person's life.

    `causes` are those beside the moves: facts that change, and cancelled ones.
    """

    entity: Entity
    submissions: tuple[Submission, ...] = ()
    moves: tuple[Move, ...] = ()
    causes: tuple[PersonCause, ...] = ()
    birth: date = BIRTHS[0]

    @property
    def life(self) -> Life:
        """The life in the form of the processors."""
        moves = [PersonCause(move.on, move.cause) for move in self.moves]
        moves += [
            PersonCause(after.on, Cause.LEFT, left=before.part)
            for before, after in pairwise(self.moves)
            if before.part not in (None, after.part)
        ]
        return Life((*moves, *self.causes), [ResidencePeriod(m.on, m.part, self.birth) for m in self.moves])

    @property
    def reference_life(self) -> ReferenceLife:
        """The life in the form of the reference model."""
        facts = {"birth_date": self.birth.isoformat()}
        return ReferenceLife(
            [LifeDay(move.on.isoformat(), move.part, facts) for move in self.moves],
            [
                LifeCause(
                    cause.day.isoformat(),
                    cause.cause.value,
                    cause.facts,
                    (cause.cancelled_by,) if cause.cancelled_by else None,
                    cause.left,
                )
                for cause in self.life.causes
            ],
        )

    def of(self, entity: Entity) -> list[Submission]:
        """Return the submissions about an entity, with those that take one of them back."""
        names = {event.name for event in entity.events}
        numbers = {each.number for each in self.submissions if each.event in names}
        return [each for each in self.submissions if each.event in names or each.cancels in numbers]

    def events(self, entity: Entity) -> list[EntityEvent]:
        """Return the submissions about an entity that aren't taken back, in the form of the reference model."""
        cancelled = {each.cancels for each in self.submissions if each.event == CANCELLED}
        return [
            EntityEvent(
                each.system,
                each.part,
                "",
                each.number,
                each.event,
                each.effective_on.isoformat(),
                each.recorded_on.isoformat(),
                dict(zip(entity.field_names, each.fields, strict=True)),
                received=(each.received,),
            )
            for each in self.of(entity)
            if each.event != CANCELLED and each.number not in cancelled
        ]

    def simpler(self) -> Iterator[Case]:
        """Yield the cases that have one thing less."""
        yield from (replace(self, submissions=fewer) for fewer in _fewer(self.submissions))
        yield from (replace(self, moves=fewer) for fewer in _fewer(self.moves))
        yield from (replace(self, causes=fewer) for fewer in _fewer(self.causes))
        for follows in _fewer(self.entity.follows):
            yield replace(self, entity=replace(self.entity, follows=follows))
        for invariants in _fewer(self.entity.invariants):
            yield replace(self, entity=replace(self.entity, invariants=invariants))
        for amendments in _fewer(self.entity.amendments):
            yield replace(self, entity=replace(self.entity, amendments=amendments))

    def __str__(self) -> str:
        """Return the case as lines, a thing on each."""
        entity = self.entity
        lines = [
            f"{entity.key} born {self.birth}",
            *map(str, (*entity.invariants, *map(_short, entity.follows))),
        ]
        for amendment in entity.amendments:
            lines += [
                f"from {amendment.first_day}, correction: {amendment.correction}",
                *map(str, amendment.invariants or ()),
            ]
            lines += map(str, map(_short, amendment.follows or ()))
        lines += [f"{e.effect} {e.name} brings {e.fields} sets {dict(e.sets)}" for e in entity.events]
        lines += [
            f"{s.effective_on} {s.event} {s.system}/{s.part} {s.number} received {s.received} {s.fields} {s.cancels}"
            for s in sorted(self.submissions, key=lambda each: each.effective_on)
        ]
        return "\n".join([*lines, *map(str, (*self.moves, *self.causes))])


def _fewer(items: tuple[_Item, ...]) -> Iterator[tuple[_Item, ...]]:
    for index in range(len(items)):
        yield (*items[:index], *items[index + 1 :])


def _short(rule: Consequence) -> object:
    if isinstance(rule, FollowsEntity):
        return f"FollowsEntity({rule.event}, {rule.entity.id}, {rule.by}, {rule.field}, {rule.values})"
    return rule


def random_case(seed: int) -> Case:
    """Return a case of a few submissions within two weeks, some of them taken back."""
    rng = Random(seed)  # noqa: S311 (nothing secret)
    entity, birth = _entity(rng), rng.choice(BIRTHS)
    days = [day(number) for number in range(1, LAST_DAY + 1)]
    entity = with_taking_over(seed, replace(entity, amendments=random_amendments(seed, entity, days)))
    rule = entity.by_residence
    opens_by_itself = {rule.opens} if rule is not None and (rule.keeps or birth != BIRTHS[0]) else set()
    submissions = [_submission(rng, entity, number, opens_by_itself) for number in range(rng.randint(0, 8))]
    if any(isinstance(each, FollowsEntity) for each in entity.follows):
        submissions += [_submission(rng, BASE, number) for number in range(10, rng.randint(11, 15))]
    for each in list(submissions):
        if rng.random() < 0.1:
            submissions.append(
                each._replace(number=f"{each.number}x", event=CANCELLED, cancels=each.number, fields=())
            )
    moves = tuple(_moves(rng))
    causes = [PersonCause(_day(rng), Cause.FACTS_CHANGED, _facts(rng)) for _ in range(rng.randint(0, 2))]
    causes += [_cancelled_cause(rng) for _ in range(rng.randint(0, 2))]
    return Case(entity, tuple(submissions), moves, tuple(causes), birth)


def _day(rng: Random) -> date:
    return day(rng.randint(1, LAST_DAY))


def _facts(rng: Random) -> frozenset[str]:
    return frozenset(rng.sample(FACTS, rng.randint(1, 2)))


def _moves(rng: Random) -> Iterator[Move]:
    where: str | None = None
    for number in sorted(rng.sample(range(1, LAST_DAY + 1), rng.randint(0, 5))):
        part = rng.choice([each for each in (*PARTS, None) if each != where])
        if where is not None or part is not None:
            ended = rng.choice([Cause.DEPARTED, Cause.DEPARTED, Cause.MOVED_ABROAD, Cause.DIED])
            yield Move(day(number), part, Cause.REGISTERED if part else ended)
        where = part


def _cancelled_cause(rng: Random) -> PersonCause:
    cause = rng.choice([each for each in Cause if each not in (Cause.REGISTERED, Cause.LEFT)])
    facts = _facts(rng) if cause is Cause.FACTS_CHANGED else frozenset[str]()
    return PersonCause(_day(rng), cause, facts, f"{rng.randint(0, 99):02d}-")


# -- entities


def _entity(rng: Random) -> Entity:
    key = rng.choice(_KEYS)
    by_residence = key == (PART,) and rng.random() < 0.7
    others = [
        "state",
        *(n for n in _FIELDS if n not in ("serial", "branch", "state", "year") and rng.random() < 0.5),
    ]
    names = [*(name for name in key if name != PART), *others]
    keeps = ("kind", "x") if by_residence and "kind" in names and rng.random() < 0.5 else None
    events = list(_events(rng, others, by_residence=by_residence))
    rng.shuffle(events)
    follows = tuple(_consequences(rng, events, names, keeps, by_part=PART in key, by_residence=by_residence))
    invariants: list[Invariant] = []
    if rng.random() < 0.4:
        invariants.append(FinalValue("state", "c"))
    if rng.random() < 0.5 and not by_residence:
        invariants.append(rng.choice([AtMostOneInForce(), AtMostOneInForce("state", ("a",))]))
    if "year" in key:
        invariants.append(OfResidenceOn(FIRST.month, rng.randint(1, LAST_DAY // 2), "year"))
    fields = tuple(_FIELDS[name] for name in names)
    return Entity("main", "主", fields, tuple(events), key, tuple(invariants), follows)


def _events(rng: Random, fields: Sequence[str], *, by_residence: bool) -> Iterator[Event]:
    if by_residence:
        # What opens by itself brings nothing, so it sets what isn't optional.
        sets = {"state": rng.choice("ab")}
        yield Event("Opened", "Opened", Effect.OPENS, sets=sets, is_anywhere=rng.random() < 0.5)
    else:
        yield _event(rng, "Opened", Effect.OPENS, fields)
    if rng.random() < 0.3 and not by_residence:
        yield _event(rng, "OpenedAgain", Effect.OPENS, fields)
    for number in range(rng.randint(1, 3)):
        yield _event(rng, f"Changed{number}", Effect.CHANGES, fields)
    yield _event(rng, "Closed", Effect.CLOSES, fields)
    if rng.random() < 0.3:
        yield _event(rng, "ClosedToo", Effect.CLOSES, fields)


def _event(rng: Random, name: str, effect: Effect, fields: Sequence[str]) -> Event:
    brought, sets = [], {}
    for field in fields:
        choices, how = _FIELDS[field].choices, rng.choice(["nothing", "nothing", "brings", "sets"])
        if how == "sets" and choices:
            sets[field] = rng.choice(choices)
        elif how == "brings" or (effect is Effect.OPENS and not _FIELDS[field].is_optional):
            brought.append(field)
    return Event(name, name, effect, tuple(brought), sets, is_anywhere=rng.random() < 0.6)


def _consequences(
    rng: Random,
    events: Sequence[Event],
    fields: Sequence[str],
    keeps: tuple[str, str] | None,
    *,
    by_part: bool,
    by_residence: bool,
) -> Iterator[Consequence]:
    """Yield consequences in the order of their events; see the tests of this module for what none of them does."""
    kinds = ["none", "follows", "follows"]
    kinds += ["expires"] * ("until" in fields) + ["entity"] * ("base" in fields)
    for event in events:
        if by_residence and event.name == "Opened":
            yield ByResidence("Opened", "Closed", 65, 0 if event.is_anywhere else rng.randint(0, 3), keeps)
        kind = rng.choice(kinds)
        if event.effect is Effect.OPENS or kind == "none":
            continue
        if by_residence and (event.effect is Effect.CLOSES or (keeps and keeps[0] in event.sets)):
            continue
        if kind == "expires":
            yield Expires(event.name, "until")
            kinds.remove("expires")
        elif kind == "entity":
            values = rng.choice([(), ("bad",), ("good", "bad")])
            yield FollowsEntity(event.name, BASE, "base", "state", values)
        else:
            yield _follows(rng, event.name, [each.name for each in events], by_part=by_part)


def _follows(rng: Random, event: str, events: Sequence[str], *, by_part: bool) -> Follows:
    when = rng.choice([each for each in Cause if by_part or each is not Cause.LEFT])
    return Follows(
        event,
        when,
        _facts(rng) if when is Cause.FACTS_CHANGED else frozenset(),
        {"state": rng.choice([("a",), ("a", "b")])} if rng.random() < 0.3 else {},
        rng.choice([0, 0, 1, 2, 5]),
        rng.choice([None, None, *events]),
        stays=rng.random() < 0.4 and when is not Cause.LEFT,
    )


def _submission(
    rng: Random, entity: Entity, number: int, without: Iterable[str] = frozenset[str]()
) -> Submission:
    event = rng.choice([each for each in entity.events if each.name not in without])
    if rng.random() < 0.4 and event.effect is not Effect.OPENS:
        event = rng.choice([each for each in entity.events if each.name not in without])
    values = [
        _value(rng, field) if field.name in (*entity.key, *event.fields) else None for field in entity.fields
    ]
    return Submission(
        "s" if entity.by_part else rng.choice("st"),
        rng.choice(PARTS) if entity.by_part else None,
        str(number),
        event.name,
        on := _day(rng),
        on,
        f"{rng.randint(0, 99):02d}",
        None,
        tuple(values),
    )


def _value(rng: Random, field: EntityField) -> str | None:
    if field.is_optional and rng.random() < 0.3:
        return None
    if field.type == "date":
        return day(rng.randint(-1, LAST_DAY)).isoformat()
    return rng.choice(field.choices or _VALUES[field.name])
