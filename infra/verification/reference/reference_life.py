"""A person's life as far as declared entities follow from it: where the registration is confirmed, and what happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from infra.verification.reference.acceptance import AcceptedNotice
from infra.verification.reference.notice import CHANGED_FACTS, Receipt
from infra.verification.reference.reference_residence import OVERSEAS

REGISTERED, FACTS_CHANGED, DEPARTED = "REGISTERED", "FACTS_CHANGED", "DEPARTED"
MOVED_ABROAD, DIED, LEFT = "MOVED_ABROAD", "DIED", "LEFT"


@dataclass(frozen=True)
class LifeDay:
    """What holds of a person at the end of a day with notices.

    `municipality` is that of the confirmed registration. `facts` are the latest of any confirmed registration; a
    household's number follows its municipality, as another municipality may have the same number.
    """

    day: str
    municipality: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    dead: bool = False
    abroad: bool = False
    protected: bool = False


@dataclass(frozen=True)
class LifeCause:
    """Something that happens to the person on a day; `facts` are those that change; `place` is what the person leaves.

    `cancelled_at` is when the cancellation of its notice was received, None if it isn't cancelled.
    """

    day: str
    cause: str
    facts: frozenset[str] = frozenset()
    cancelled_at: Receipt | None = None
    place: str | None = None


@dataclass(frozen=True)
class ReferenceLife:
    """The days of a person's life on which notices take effect, in their order, and what happens on them."""

    days: Sequence[LifeDay] = ()
    causes: Sequence[LifeCause] = ()

    def on(self, day: str) -> LifeDay:
        """Return what holds at the end of a day."""
        known = [each for each in self.days if each.day <= day]
        return replace(known[-1], day=day) if known else LifeDay(day)

    def is_registered_again(self, first: str, last: str) -> bool:
        """Return whether a registration of the person becomes the confirmed one on any of these days."""
        return any(each.cause == REGISTERED and first <= each.day <= last for each in self.causes)

    def registered_since(self, day: str) -> str:
        """Return the first day of the days up to this one on which the person is registered where on this one."""
        here, since = self.on(day).municipality, day
        for each in sorted(
            (each for each in self.days if each.day <= day), key=lambda each: each.day, reverse=True
        ):
            if each.municipality != here:
                break
            since = each.day
        return since

    def came_from(self, day: str) -> tuple[str, str] | None:
        """Return where the person was registered before, and the last day there; None if nowhere."""
        left = self.registered_since(day)
        for each in sorted(
            (each for each in self.days if each.day < left), key=lambda each: each.day, reverse=True
        ):
            if each.municipality is not None:
                return each.municipality, add_days(left, -1)
            left = each.day
        return None

    def away_since(self, municipality: str, day: str) -> str | None:
        """Return the first day since which the person isn't registered there; None if the registration stands.

        If the person never was, return the day since which the registration is where it is; None if nothing is known.
        """
        before: LifeDay | None = None
        away: str | None = None
        was_there = False
        for each in self.days:
            if each.day > day:
                break
            if each.municipality == municipality:
                was_there, away = True, None
            elif away is None or not (was_there or (before and before.municipality == each.municipality)):
                away = each.day
            before = each
        return away


def departed_from(days: Sequence[LifeDay]) -> tuple[str, str] | None:
    """Return the municipality that a person left for another one and the day, if no registration is confirmed since."""
    if not days or days[-1].municipality or days[-1].dead or days[-1].abroad:
        return None
    registered = [index for index, each in enumerate(days) if each.municipality]
    if not registered:
        return None
    return days[registered[-1]].municipality or "", days[registered[-1] + 1].day


def life_of(days: Sequence[LifeDay], cancelled: Iterable[tuple[AcceptedNotice, str]]) -> ReferenceLife:
    """Return the life of a person from its days and the cancelled notices, each with the person's code."""
    life = ReferenceLife(days)
    causes = [cause for before, after in _pairs(days) for cause in _causes(before, after)]
    causes += [cause for entry, code in cancelled for cause in _cancelled_causes(entry, code, life)]
    return ReferenceLife(days, causes)


def _pairs(days: Sequence[LifeDay]) -> Iterator[tuple[LifeDay | None, LifeDay]]:
    return zip((None, *days), days, strict=False)


def _causes(before: LifeDay | None, after: LifeDay) -> Iterator[LifeCause]:
    earlier = before or LifeDay("")
    if after.municipality not in (None, earlier.municipality):
        yield LifeCause(after.day, REGISTERED)
    changed = [name for name in after.facts if after.facts[name] != earlier.facts.get(name)]
    if earlier.facts and changed:
        yield LifeCause(after.day, FACTS_CHANGED, frozenset(changed))
    if after.dead and not earlier.dead:
        yield LifeCause(after.day, DIED)
    if after.abroad and not earlier.abroad:
        yield LifeCause(after.day, MOVED_ABROAD)
    if earlier.municipality and not (after.municipality or after.dead or after.abroad):
        yield LifeCause(after.day, DEPARTED)
    if earlier.municipality not in (None, after.municipality):
        yield LifeCause(after.day, LEFT, place=earlier.municipality)


def _cancelled_causes(entry: AcceptedNotice, code: str, life: ReferenceLife) -> Iterator[LifeCause]:
    """Yield what would have happened by a cancelled notice, if its municipality's registration was confirmed."""
    notice, by = entry.notice, entry.cancelled_by
    day_before, day = life.on(add_days(notice.effective_on, -1)), life.on(notice.effective_on)
    if by is None or notice.municipality not in (day_before.municipality, day.municipality):
        return
    cause = {"死亡": DIED, "国外転出": MOVED_ABROAD, "転出": DEPARTED}.get(notice.reason)
    if cause == DEPARTED and notice.moved_to == OVERSEAS:
        cause = MOVED_ABROAD
    if cause:
        yield LifeCause(notice.effective_on, cause, cancelled_at=by.received)
    given = qualified(entry.persons[code], notice.municipality)
    changed = [
        name
        for name in CHANGED_FACTS[notice.reason]
        if name in given and given[name] != day_before.facts.get(name)
    ]
    if changed and day_before.facts:
        yield LifeCause(notice.effective_on, FACTS_CHANGED, frozenset(changed), by.received)


def qualified(facts: Mapping[str, object], municipality: str | None) -> dict[str, str]:
    """Return facts with the household's number after the code of its municipality."""
    texts = {name: str(value) for name, value in facts.items()}
    if "household" in texts:
        texts["household"] = f"{municipality}/{texts['household']}"
    return texts


def add_days(day: str, days: int) -> str:
    """Return the day so many days later; a day beyond the calendar is one that never comes."""
    try:
        return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
    except OverflowError:
        return "never" if days > 0 else ""


def last_day_of(first: str, months: int) -> str:
    """Return the last day of months that begin on a day; a month without that day ends with its own last day."""
    year, month, day = (int(part) for part in first.split("-"))
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    try:
        return add_days(date(year, month, day).isoformat(), -1)
    except ValueError:
        return add_days(date(year + month // 12, month % 12 + 1, 1).isoformat(), -1)


def age_reached_on(birth_date: str, age: int) -> str:
    """Return the day before the birthday: the day on which an age is reached by law.

    The birthday of 29 February is 1 March in a year without it.
    """
    born = date.fromisoformat(birth_date)
    try:
        birthday = born.replace(year=born.year + age)
    except ValueError:
        birthday = date(born.year + age, 3, 1)
    return add_days(birthday.isoformat(), -1)
