"""The timeline of a declared entity of a person, made day by day, and the submissions that have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from infra.verification.reference.notice import EntityEvent
from infra.verification.reference.reference_law import law_of
from infra.verification.reference.reference_life import (
    DEPARTED,
    FACTS_CHANGED,
    LEFT,
    LifeCause,
    ReferenceLife,
    add_days,
    age_reached_on,
)
from infra.verification.reference.reference_timeline import (
    EntityKey,
    EntityVersion,
    ReferenceTimeline,
    key_of,
    taken_over,
)
from schemas.declare import (
    PART,
    AtMostOneInForce,
    ByResidence,
    Consequence,
    Effect,
    Entity,
    Event,
    Expires,
    FinalValue,
    Follows,
    FollowsEntity,
    Invariant,
    OfResidenceOn,
)


def fold_entity(
    entity: Entity,
    submissions: Iterable[EntityEvent],
    life: ReferenceLife,
    others: Mapping[str, ReferenceTimeline],
) -> ReferenceTimeline:
    """Return the timeline of an entity from the submissions that aren't cancelled.

    `others` are the person's timelines of the entities that this one follows, by their id.
    """
    fold = _Fold(entity, list(submissions), life, others)
    day = fold.next_day("")
    while day is not None:
        fold.pass_day(day)
        day = fold.next_day(day)
    return fold.timeline


class _Fold:
    """The timeline up to the day reached."""

    def __init__(
        self,
        entity: Entity,
        submissions: Sequence[EntityEvent],
        life: ReferenceLife,
        others: Mapping[str, ReferenceTimeline],
    ) -> None:
        self.entity, self.submissions, self.life, self.others = entity, submissions, life, others
        self.timeline = ReferenceTimeline()
        self._ranks = {event.name: rank for rank, event in enumerate(entity.events)}
        self._law = law_of(entity)
        self._rules: dict[str, list[Follows | FollowsEntity | Expires]] = {}
        for rule in (rule for _, _, follows in self._law for rule in follows):
            if not isinstance(rule, ByResidence) and rule not in self._rules.setdefault(rule.event, []):
                self._rules[rule.event].append(rule)
        at_once = [rule for rules in self._rules.values() for rule in rules if not isinstance(rule, Follows)]
        self._at_once = sorted(at_once, key=lambda rule: self._ranks[rule.event])
        self._expiries = [rule for rule in self._at_once if isinstance(rule, Expires)]
        self._known_days = set(self._days())

    # -- days

    def next_day(self, day: str) -> str | None:
        """Return the next day on which anything may happen."""
        days = self._known_days | {
            add_days(version.values.get(rule.field) or "9999-12-31", 1)
            for rule in self._expiries
            for _, version in self.timeline.latest()
        }
        return min((each for each in days if each > day and each != "never"), default=None)

    def _days(self) -> Iterator[str]:
        """Yield the days of submissions, of causes with their consequences, and of other entities."""
        fixed = [each.effective_on for each in self.submissions]
        fixed += [each.day for each in self.life.days]
        for timeline in self.others.values():
            fixed += [version.day for versions in timeline.versions.values() for version in versions]
        fixed += [day for day, _, _ in self._law if day]
        for rule in (rule for _, _, follows in self._law for rule in follows):
            if isinstance(rule, Follows):
                fixed += [add_days(each.day, rule.after_days) for each in self.life.causes]
            elif isinstance(rule, ByResidence):
                fixed += [add_days(each.day, rule.closes_after_days) for each in self.life.days]
                births = {each.facts["birth_date"] for each in self.life.days if each.facts}
                fixed += [age_reached_on(birth, rule.from_age) for birth in births]
        yield from fixed

    def _in_force(self, day: str) -> tuple[Sequence[Invariant], Sequence[Consequence]]:
        """Return the invariants and the consequences of a day."""
        _, invariants, follows = [law for law in self._law if law[0] <= day][-1]
        return invariants, follows

    def _residence_rule(self, day: str) -> ByResidence | None:
        return next((rule for rule in self._in_force(day)[1] if isinstance(rule, ByResidence)), None)

    def _is_old_enough(self, birth_date: str, day: str) -> bool:
        """Return whether the person is old enough by the rules of this day, or was by those of a day before."""
        ends = [*(begins for begins, _, _ in self._law[1:]), "never"]
        for (begins, _, _), end in zip(self._law, ends, strict=True):
            rule = self._residence_rule(begins)
            if rule is not None and begins <= day:
                reached = max(begins, age_reached_on(birth_date, rule.from_age))
                if reached <= day and reached < end:
                    return True
        return False

    def pass_day(self, day: str) -> None:
        """Let what follows by itself take effect, then each event of the day with what follows from it at once."""
        for rank, event in enumerate(self.entity.events):
            self._let_follow(day, event)
            for key in self._open_keys() if self._expiries else ():
                self._let_expire(day, key, rank)
        of_day = [each for each in self.submissions if each.effective_on == day]
        for submission in sorted(of_day, key=self._order_within_day):
            key = key_of(self.entity, submission.part, submission.fields)
            event = self.entity.event(submission.event)
            is_allowed = self._may_open(event, submission)
            before = self.timeline.versions.get(key, [None])[-1]
            fields = (
                taken_over(event.takes_over, submission, self.life, self.timeline)
                if event.takes_over
                else submission.fields
            )
            is_in_effect = (
                is_allowed and fields is not None and self._apply(day, event, key, fields, submission)
            )
            if not is_in_effect:
                self.timeline.without_effect.append(submission)
            elif event.takes_over:
                origin, _ = self.life.came_from(day) or ("", "")
                self._apply(day, self.entity.event(event.takes_over.closes), (origin,), {}, None)
            self._let_follow_at_once(day, key, before)
            self._settle(day, may_close=False)
        self._settle(day, may_close=True)

    def _order_within_day(self, submission: EntityEvent) -> tuple[object, ...]:
        return (
            self._ranks[submission.event],
            submission.system,
            submission.part or "",
            submission.received,
            submission.number,
        )

    def _may_open(self, event: Event, submission: EntityEvent) -> bool:
        """Return whether a municipality opens something of a person registered there, or may of anybody."""
        is_bound = self.entity.by_part and event.effect is Effect.OPENS and not event.is_anywhere
        if not is_bound:
            return True
        judged_on = [submission.effective_on]
        invariants, _ = self._in_force(submission.effective_on)
        for rule in invariants:
            if isinstance(rule, OfResidenceOn):
                year = submission.fields.get(rule.year) or ""
                judged_on = [f"{year}-{rule.month:02d}-{rule.day:02d}"]
        (day,) = judged_on
        return "0001" <= day <= submission.effective_on and self.life.on(day).municipality == submission.part

    # -- one event

    def _apply(
        self,
        day: str,
        event: Event,
        key: EntityKey,
        given: Mapping[str, str | None],
        submission: EntityEvent | None,
    ) -> bool:
        """Apply an event to its key; return False if it has no effect."""
        before = self.timeline.versions.get(key, [None])[-1]
        after = self._version_after(day, event, key, given, submission)
        if after is None or self._is_final(before, day) or self._is_second_in_force(key, after):
            return False
        if submission is None and event.effect is Effect.CHANGES and before and before.values == after.values:
            return False
        self.timeline.versions.setdefault(key, []).append(after)
        self.timeline.happened.setdefault(key, []).append((day, event.name))
        return True

    def _version_after(
        self,
        day: str,
        event: Event,
        key: EntityKey,
        given: Mapping[str, str | None],
        submission: EntityEvent | None,
    ) -> EntityVersion | None:
        """Return what holds after an event; None if it opens what is open, or needs what isn't."""
        before = self.timeline.versions.get(key, [None])[-1]
        if (before is not None and before.is_open) is (event.effect is Effect.OPENS):
            return None
        # What follows by itself brings nothing.
        names = (*event.fields, *(event.takes_over.given if event.takes_over else ()))
        brought = {name: given.get(name) for name in names} if submission else {}
        if event.effect is Effect.OPENS or before is None:
            key_values = zip(self.entity.key, key, strict=True)
            start: dict[str, str | None] = dict.fromkeys(self.entity.field_names)
            start |= {name: value for name, value in key_values if name != PART}
            opened = (day, submission.received if submission else None)
            return EntityVersion(day, True, {**start, **brought, **event.sets}, opened)
        values = {**before.values, **brought, **event.sets}
        return EntityVersion(day, event.effect is Effect.CHANGES, values, before.opened)

    def _is_final(self, version: EntityVersion | None, day: str) -> bool:
        return version is not None and any(
            version.values[rule.field] == rule.value
            for rule in self._in_force(day)[0]
            if isinstance(rule, FinalValue)
        )

    def _is_second_in_force(self, key: EntityKey, after: EntityVersion) -> bool:
        """Return whether this version would be in force beside that of another key."""

        def is_in_force(rule: AtMostOneInForce, version: EntityVersion) -> bool:
            return version.is_open and (rule.field is None or version.values[rule.field] in rule.values)

        return any(
            is_in_force(rule, after) and is_in_force(rule, version)
            for rule in self._in_force(after.day)[0]
            if isinstance(rule, AtMostOneInForce)
            for other, version in self.timeline.latest()
            if other != key
        )

    # -- what follows by itself

    def _let_follow(self, day: str, event: Event) -> None:
        """Apply an event to each key for which it follows by itself, in the order in which the keys first opened."""
        residence = self._residence_rule(day)
        if residence is not None and residence.opens == event.name:
            self._settle(day, may_close=False)
        rules = self._rules.get(event.name, ())
        if not rules:
            return
        for key in self._open_keys():
            version = self.timeline.versions[key][-1]
            if any(self._follows(rule, key, version, day) for rule in rules):
                self._apply(day, event, key, {}, None)

    def _let_expire(self, day: str, key: EntityKey, rank: int) -> None:
        """Let a key expire at once whose last day is over already, if that comes before the event of this rank."""
        for rule in self._expiries:
            if self._ranks[rule.event] < rank and key in self._open_keys():
                version = self.timeline.versions[key][-1]
                if self._follows(rule, key, version, day):
                    self._apply(day, self.entity.event(rule.event), key, {}, None)

    def _follows(
        self, rule: Follows | FollowsEntity | Expires, key: EntityKey, version: EntityVersion, day: str
    ) -> bool:
        if isinstance(rule, Expires):
            last = version.values[rule.field]
            is_over = last is not None and (add_days(last, 1) == day or last < day == version.day)
            return is_over and rule in self._in_force(day)[1]
        if isinstance(rule, FollowsEntity):
            other = self._named(rule, version, day)
            return other is not None and other.day == day and self._is_ended(rule, other, day)
        return any(self._follows_cause(rule, cause, key, version, day) for cause in self.life.causes)

    def _named(self, rule: FollowsEntity, version: EntityVersion, day: str) -> EntityVersion | None:
        """Return what holds on a day of the other entity that a version names."""
        timeline, key = self.others.get(rule.entity.id), version.values[rule.by]
        return timeline.on((key,), day) if timeline is not None and key is not None else None

    def _is_ended(self, rule: FollowsEntity, other: EntityVersion, day: str) -> bool:
        has_ended = not other.is_open or other.values[rule.field] in rule.values
        return has_ended and rule in self._in_force(day)[1]

    def _let_follow_at_once(self, day: str, key: EntityKey, before: EntityVersion | None) -> None:
        """Let follow at once what is over already: a last day, or another entity that the key names since now."""
        names_before = dict(before.values) if before is not None and before.is_open else {}
        for rule in self._at_once:
            if key not in self._open_keys():
                return
            version = self.timeline.versions[key][-1]
            if isinstance(rule, Expires):
                self._let_expire(day, key, self._ranks[rule.event] + 1)
                continue
            other = self._named(rule, version, day)
            is_new = version.values[rule.by] != names_before.get(rule.by)
            if is_new and other is not None and self._is_ended(rule, other, day):
                self._apply(day, self.entity.event(rule.event), key, {}, None)
                self._let_expire(day, key, self._ranks[rule.event])

    def _follows_cause(
        self, rule: Follows, cause: LifeCause, key: EntityKey, version: EntityVersion, day: str
    ) -> bool:
        opened_on, opening_received = version.opened
        known_before = opening_received is None or (
            cause.cancelled_at is not None and opening_received < cause.cancelled_at
        )
        return (
            rule.when == cause.cause
            and rule in self._in_force(cause.day)[1]
            and (rule.when != FACTS_CHANGED or bool(rule.facts & cause.facts))
            and (rule.when != LEFT or key[self.entity.key.index(PART)] == cause.place)
            and add_days(cause.day, rule.after_days) == day
            and opened_on < cause.day
            and (cause.cancelled_at is None or (rule.stays and known_before))
            and all(version.values[name] in values for name, values in rule.where.items())
            and not self._is_stopped(rule, cause, key, day)
        )

    def _is_stopped(self, rule: Follows, cause: LifeCause, key: EntityKey, day: str) -> bool:
        happened = any(
            name == rule.unless and cause.day <= on for on, name in self.timeline.happened.get(key, ())
        )
        return happened or (rule.when == DEPARTED and self.life.is_registered_again(cause.day, day))

    def _settle(self, day: str, *, may_close: bool) -> None:
        """Close the keys of municipalities that the person has left, and open that of the residence.

        While another key is open, that waits for the events of its day (`may_close`): they may keep it open.
        """
        rule, open_keys = self._residence_rule(day), self._open_keys()
        if rule is None or (open_keys and not may_close):
            return
        here = self.life.on(day)
        keeping = {key for key in open_keys if self._keeps(rule, key)}
        is_old_enough = bool(here.facts) and self._is_old_enough(here.facts["birth_date"], day)
        insures = here.municipality is not None and is_old_enough
        opens_here = insures and not keeping - {(here.municipality,)}
        for key in open_keys:
            away_since = self.life.away_since(key[0], day)
            if key in keeping or away_since is None:
                continue
            if opens_here or add_days(away_since, rule.closes_after_days) <= day:
                self._apply(day, self.entity.event(rule.closes), key, {}, None)
        if here.municipality is not None and opens_here and (here.municipality,) not in open_keys:
            self._apply(day, self.entity.event(rule.opens), (here.municipality,), {}, None)

    def _open_keys(self) -> list[EntityKey]:
        return [key for key, versions in self.timeline.versions.items() if versions[-1].is_open]

    def _keeps(self, rule: ByResidence, key: EntityKey) -> bool:
        if rule.keeps is None:
            return False
        name, value = rule.keeps
        return self.timeline.versions[key][-1].values[name] == value
