"""The default fold of a declared entity: from the submissions about a person to a timeline, without code per entity.

The result depends on what was submitted and on the person's life alone, not on the order of arrival, nor on the day on
which it is made: what follows by itself in the future is in the timeline too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final

from processors.entities.causes import NOTHING_KNOWN, Life
from processors.entities.consequences import (
    Due,
    KeyPast,
    by_named_entity,
    by_residence,
    concerns,
    days_of_moves,
    expiries,
    known_from_the_beginning,
    of_age_on,
    residence_dues,
)
from processors.entities.taken_over import taken_over
from processors.entities.timeline import Key, NoEffect, Submission, Timeline, Values, Version
from schemas.declare import (
    CANCELLED,
    PART,
    AtMostOneInForce,
    ByResidence,
    Effect,
    Entity,
    Event,
    Expires,
    FinalValue,
    Follows,
    FollowsEntity,
    Invariant,
)

#: Consequences of a day come before its submissions, the end of a residence after them: a submission of the day may
#: prevent it. The rest of the tuple orders those of one kind.
_Order = tuple[int | str, ...]
_CONSEQUENCE: Final = 0
_SUBMISSION: Final = 1
_END_OF_DAY: Final = 2


def fold(
    entity: Entity,
    submissions: Iterable[Submission],
    life: Life = NOTHING_KNOWN,
    others: Mapping[str, Timeline] | None = None,
) -> Timeline:
    """Return the timeline of an entity after its submissions, whatever the order in which they arrived.

    `others` are the timelines, by id, of the entities that it follows.
    """
    received = list(submissions)
    if not received and entity.is_by_residence_alone:
        return _fold_residence(entity, life)
    return _Fold(entity, life, others or {}).run(received)


def _fold_residence(entity: Entity, life: Life) -> Timeline:
    """Fold an entity of which nothing was submitted, where nothing but the residence matters: so it is for most."""
    rule = entity.by_residence
    if rule is None or not entity.is_residence_simple:
        return _Fold(entity, life, {}).run_residence()
    timeline = Timeline()
    if len(life.periods) == 1:
        period = life.periods[0]
        if period.municipality is not None and period.birth_date is not None:
            day = max(period.begins, of_age_on(entity, period.birth_date))
            _add(timeline, period.municipality, day, entity.event(rule.opens), entity)
    else:
        _follow_moves(entity, rule, life, timeline)
    return timeline


def _follow_moves(entity: Entity, rule: ByResidence, life: Life, timeline: Timeline) -> None:
    """Open and close an entity where a person who has moved, or whose birth date was corrected, is registered."""
    opens, closes = entity.event(rule.opens), entity.event(rule.closes)
    home: str | None = None
    later = list(reversed(life.periods))
    for day in days_of_moves(entity, life, (rule,)):
        while later and later[-1].begins <= day:
            period = later.pop()
        if period.municipality == home:
            continue
        of_age = period.birth_date is not None and of_age_on(entity, period.birth_date) <= day
        moves = of_age and period.municipality is not None
        if home is not None:
            if not moves and day < life.left_on(home, day) + timedelta(days=rule.closes_after_days):
                continue
            _add(timeline, home, day, closes, entity)
            home = None
        if moves and period.municipality is not None:
            home = period.municipality
            _add(timeline, home, day, opens, entity)


def _add(timeline: Timeline, municipality: str, day: date, event: Event, entity: Entity) -> None:
    """Add what an event that nobody submits does to the entity of a municipality."""
    versions = timeline.versions.setdefault((municipality,), [])
    is_open = event.effect is not Effect.CLOSES
    before = None if is_open or not versions else versions[-1].values
    if versions and versions[-1].begins == day:
        versions.pop()  # It held on no day.
    versions.append(Version(day, is_open, _values_after(entity, event, before)))


def _values_after(
    entity: Entity, event: Event, before: Values | None = None, fields: Values | None = None
) -> Values:
    """Return the values after an event: those of before (None: there are none), then what it brings and sets."""
    empty = (None,) * len(entity.positions)
    if fields is None:
        return tuple(map(event.sets.get, entity.positions, before or empty))
    given = {*event.fields, *entity.key_fields}
    return tuple(
        event.sets.get(name, new if before is None or name in given else old)
        for name, new, old in zip(entity.positions, fields, before or empty, strict=True)
    )


class _Fold:
    """The fold of one entity: a queue by day of submissions and consequences, which may add further consequences."""

    def __init__(self, entity: Entity, life: Life, others: Mapping[str, Timeline]) -> None:
        self._entity, self._life, self._others = entity, life, others
        self._index = entity.positions
        self._timeline = Timeline()
        self._pasts: dict[Key, KeyPast] = {}
        self._queue: list[tuple[date, _Order, Due | Submission]] = []
        self._numbers = count()

    def run(self, submissions: Iterable[Submission]) -> Timeline:
        """Apply everything in the order of effect."""
        for submission in _not_cancelled(submissions):
            system, part, number = submission.id
            rank = (
                _SUBMISSION,
                self._entity.ranks[submission.event],
                system,
                part,
                submission.received,
                number,
            )
            heappush(self._queue, (submission.effective_on, rank, submission))
        for due in known_from_the_beginning(self._entity, self._life, self._others):
            self._push(due)
        while self._queue:
            _, order, item = heappop(self._queue)
            if isinstance(item, Submission):
                self._submit(item)
            elif isinstance(item.rule, ByResidence):
                self._settle(item.rule, item.day, may_close=order[0] == _END_OF_DAY)
            else:
                self._follow(item, item.rule)
        return self._timeline

    def run_residence(self) -> Timeline:
        """As `run`, where nothing was submitted and nothing but the residence has an effect."""
        rules = {due.day: due.rule for due in by_residence(self._entity, self._life)}
        for day, rule in sorted(rules.items(), key=lambda due: due[0]):
            if isinstance(rule, ByResidence):
                self._settle(rule, day, may_close=True)
        return self._timeline

    def _push(self, due: Due) -> None:
        event = due.rule.opens if isinstance(due.rule, ByResidence) else due.rule.event
        rank = self._entity.ranks[event]
        heappush(self._queue, (due.day, (_CONSEQUENCE, rank, next(self._numbers)), due))
        if isinstance(due.rule, ByResidence):
            heappush(self._queue, (due.day, (_END_OF_DAY, rank, next(self._numbers)), due))

    def _submit(self, submission: Submission) -> None:
        event, key = self._entity.event(submission.event), self._key_of(submission)
        day, given, taken = submission.effective_on, submission, None
        reason = self._why_not_submit(event, submission)
        if event.takes_over is not None:
            taken = taken_over(self._entity, event.takes_over, submission, self._life, self._timeline)
            if taken is None:
                reason = NoEffect.NOTHING_TO_TAKE_OVER
            else:
                given = taken.submission
        reason = reason or self._apply(event, key, day, given)
        if reason is not None:
            self._timeline.without_effect.append((submission, reason))
        elif taken is not None and event.takes_over is not None:
            self._apply(self._entity.event(event.takes_over.closes), taken.key, day)
        for due in residence_dues(self._entity, [day]):
            self._push(due)

    def _why_not_submit(self, event: Event, submission: Submission) -> NoEffect | None:
        """Return why a municipality can't open its fact of the person; None if it is a resident, or may be anybody."""
        if not self._entity.by_part or event.effect is not Effect.OPENS or event.is_anywhere:
            return None
        day = submission.effective_on
        rule = self._entity.rules_on(day).residence_on
        if rule is not None:
            of_year = rule.day_of(submission.fields[self._index[rule.year]])
            if of_year is None or day < of_year:
                return NoEffect.TOO_EARLY
            day = of_year
        period = self._life.period_on(day)
        if period is None or period.municipality != submission.part:
            return NoEffect.NOT_REGISTERED
        return None

    def _key_of(self, submission: Submission) -> Key:
        return tuple(
            (submission.part or "") if name == PART else submission.fields[self._index[name]] or ""
            for name in self._entity.key
        )

    def _follow(self, due: Due, rule: Follows | FollowsEntity | Expires) -> None:
        entity, event = self._entity, self._entity.event(rule.event)
        for key, versions in list(self._timeline.versions.items()):
            latest = versions[-1]
            values = dict(zip(self._index, latest.values, strict=True)) | self._part_of(key)
            if not (latest.open and concerns(due, key, values, self._pasts[key], self._life)):
                continue
            if (
                event.effect is Effect.CHANGES
                and _values_after(entity, event, latest.values) == latest.values
            ):
                continue  # It would follow again and again.
            self._apply(event, key, due.day, by_expiry=isinstance(rule, Expires))
        for settling in residence_dues(self._entity, [due.day]):
            self._push(settling)

    def _part_of(self, key: Key) -> dict[str, str]:
        return {PART: key[self._entity.key.index(PART)]} if self._entity.by_part else {}

    def _settle(self, rule: ByResidence, day: date, *, may_close: bool) -> None:
        """Close and open keys so that the entity is open where the person is registered on this day."""
        open_keys = [key for key, versions in self._timeline.versions.items() if versions[-1].open]
        if open_keys and not may_close:
            return
        period = self._life.period_on(day)
        if period is None:
            return
        home = (period.municipality,) if period.municipality is not None else None
        if open_keys == [home]:
            return
        kept = [key for key in open_keys if self._keeps(rule, key)]
        of_age = period.birth_date is not None and of_age_on(self._entity, period.birth_date) <= day
        opens = home is not None and of_age and not kept
        for key in open_keys:
            if key == home or key in kept:
                continue
            closes_on = self._life.left_on(key[0], day) + timedelta(days=rule.closes_after_days)
            if opens or day >= closes_on:
                self._apply(self._entity.event(rule.closes), key, day)
        if opens and home is not None and home not in open_keys:
            self._apply(self._entity.event(rule.opens), home, day)

    def _keeps(self, rule: ByResidence, key: Key) -> bool:
        if rule.keeps is None:
            return False
        name, value = rule.keeps
        return self._timeline.versions[key][-1].values[self._index[name]] == value

    def _apply(
        self,
        event: Event,
        key: Key,
        day: date,
        submission: Submission | None = None,
        *,
        by_expiry: bool = False,
    ) -> NoEffect | None:
        """Add the effect of an event to the timeline, submitted or not. Return why it has none; None if it has one."""
        fields = None if submission is None else submission.fields
        versions = self._timeline.versions.get(key, [])
        latest = versions[-1] if versions else None
        is_open, opens = latest is not None and latest.open, event.effect is Effect.OPENS
        invariants = self._entity.rules_on(day).invariants
        if latest is not None and self._is_final(latest, invariants):
            return NoEffect.FINAL
        if is_open is opens:
            return NoEffect.OPEN_ALREADY if opens else NoEffect.NOT_OPEN
        before = None if opens or latest is None else latest.values
        values = _values_after(self._entity, event, before, fields)
        version = Version(day, event.effect is not Effect.CLOSES, values)
        if not self._is_allowed(key, version, invariants):
            return NoEffect.AT_MOST_ONE
        if latest is not None and latest.begins == day:
            versions.pop()  # It held on no day.
        versions.append(version)
        self._timeline.versions[key] = versions
        opened_by = "" if submission is None else submission.received
        past = KeyPast(day, opened_by, {}) if opens else self._pasts[key]
        self._pasts[key] = past._replace(events={**past.events, event.name: day})
        for due in expiries(self._entity, key, version):
            if due.day > day or not by_expiry:  # Two rules that undo each other would never end.
                self._push(due)
        for due in by_named_entity(self._entity, key, version, latest, self._others):
            self._push(due)
        return None

    def _is_final(self, version: Version, invariants: Iterable[Invariant]) -> bool:
        finals = (each for each in invariants if isinstance(each, FinalValue))
        return any(version.values[self._index[final.field]] == final.value for final in finals)

    def _is_allowed(self, key: Key, version: Version, invariants: Iterable[Invariant]) -> bool:
        """Return whether a version may stand beside those of the person's other keys."""
        for invariant in invariants:
            if isinstance(invariant, AtMostOneInForce) and self._counts(invariant, version):
                others = (each[-1] for other, each in self._timeline.versions.items() if other != key)
                if any(self._counts(invariant, other) for other in others):
                    return False
        return True

    def _counts(self, invariant: AtMostOneInForce, version: Version) -> bool:
        if not version.open or invariant.field is None:
            return version.open
        return version.values[self._index[invariant.field]] in invariant.values


def _not_cancelled(submissions: Iterable[Submission]) -> Iterator[Submission]:
    received = list(submissions)
    cancelled = {(s.system, s.part or "", s.cancels) for s in received if s.event == CANCELLED}
    return (s for s in received if s.event != CANCELLED and s.id not in cancelled)
