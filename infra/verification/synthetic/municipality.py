"""A municipality's register: who lives there, in which household, and the list of its notices."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count

from infra.verification.synthetic.places import SyntheticMunicipality
from infra.verification.synthetic.rendering import NEW, Form, Shown, line, rows
from infra.verification.synthetic.residents import Facts, Position, RecordedNotice, Resident, Stay

LEAVING = frozenset({"転出", "国外転出", "死亡"})
CANCELLABLE = frozenset({"転居", "氏名変更", "世帯分離", "世帯合併", "世帯構成変更", "職権修正"})
#: Days from what happens until a register records it; notices of one household still keep their order.
_LAGS = (0, 0, 0, 1, 2, 3, 5, 9)
RECENT_MAX = 200


def later(day: str, days: int) -> str:
    """The day so many days after `day`, both as ISO text."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class RegisterLine:
    """A line of the list: sorted by the day it was recorded, then as it came."""

    recorded_on: str
    sequence: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Manner:
    """How a notice is listed.

    `household` names the one whose present members are exactly the persons of the notice: a system that publishes by
    itself then names it alone. `lag` is the days until it is recorded, below zero where that is beforehand.
    `late_stays` are the stays that it belongs to where its persons have left; `touching` is what it must come after;
    `places` are where they moved from or to, or the number cancelled.
    """

    household: str | None = None
    lag: int | None = None
    late_stays: tuple[Stay, ...] = ()
    touching: Sequence[object] = ()
    places: Mapping[str, str] = field(default_factory=dict)


PLAINLY = Manner()


@dataclass
class SyntheticRegister:
    """One municipality. `json` says which kind of file it hands over, `old` that it writes CP932.

    Numbers of notices, households and residents count up from `first_number`.
    """

    place: SyntheticMunicipality
    json: bool
    old: bool
    chance: random.Random
    sequence: count[int]
    today: str
    households: dict[str, dict[Resident, None]] = field(default_factory=dict)
    entries: list[RegisterLine] = field(default_factory=list)
    cancellable: list[RecordedNotice] = field(default_factory=list)
    departed: list[tuple[Resident, Stay]] = field(default_factory=list)
    first_number: int = 1
    _recorded: dict[object, str] = field(default_factory=dict)
    _household_numbers: count[int] = field(init=False)
    _local_numbers: count[int] = field(init=False)
    _notice_numbers: count[int] = field(init=False)

    def __post_init__(self) -> None:
        self._household_numbers = count(self.first_number)
        self._local_numbers = count(self.first_number)
        self._notice_numbers = count(self.first_number)

    # -- numbers

    def new_household(self) -> str:
        """A number that no household here has had."""
        return f"{next(self._household_numbers):012d}"

    def new_notice(self) -> str:
        """A number that says nothing about order."""
        at = self.place.code
        drawn = (next(self._notice_numbers) * 618_033_989 + int(at) * 7_654_321) % 10**9
        return f"{at[:5]}-{drawn:09d}"

    def new_address(self) -> str:
        """Somewhere in the municipality."""
        draw = self.chance.randint
        return f"{self.place.name}{self.chance.choice(self.place.towns)}{draw(1, 5)}丁目{draw(1, 30)}番{draw(1, 20)}号"

    # -- the list

    def file(
        self,
        reason: str,
        effective_on: str,
        changes: Mapping[Resident, Facts],
        manner: Manner = PLAINLY,
    ) -> RecordedNotice:
        """List a notice and bring it into the register."""
        position = (effective_on, next(self.sequence))
        touched = self._touched(changes)
        filed = RecordedNotice(self.new_notice(), reason, position, "", dict(changes))
        if reason in NEW:
            self._arrive(filed)
        filed.stays = manner.late_stays or tuple(_stay(person) for person in changes)
        if reason != "取消":
            for stay in filed.stays:
                stay.filed.append(filed)
        filed.recorded_on = self._recorded_on(
            manner.lag, [*manner.touching, *touched, *self._touched(changes)]
        )
        self._enter(filed, manner)
        if reason in LEAVING:
            self._leave(filed)
        self._settle(changes)
        if reason in CANCELLABLE and not manner.late_stays:
            self.cancellable = [*self.cancellable[1 - RECENT_MAX :], filed]
        return filed

    def cancel(self, target: RecordedNotice, *, good: bool, number: str = "") -> RecordedNotice:
        """List a cancellation of `target`; `good` where it will be accepted. `number` cancels another in its place."""
        before = self._touched(target.changes)
        target.cancelled = target.cancelled or good
        self._settle(target.changes)
        nothing: dict[Resident, Facts] = {person: {} for person in target.changes}
        how = Manner(touching=before, places={"cancels": number or target.number})
        return self.file("取消", target.position[0], nothing, how)

    def overtaken(self, target: RecordedNotice) -> bool:
        """Whether something later in the order of effect has one of its persons."""
        return any(
            filed.position > target.position and not filed.cancelled
            for stay in target.stays
            for filed in stay.filed
        )

    def again(self) -> None:
        """Hand over the last entry a second time, as it was."""
        last = self.entries[-1]
        self.entries.append(RegisterLine(last.recorded_on, last.sequence, last.lines))

    # -- how it is done

    def _touched(self, persons: Iterable[Resident]) -> list[object]:
        homes = [person.household for person in persons if person.stay and person.stay.filed]
        return [*persons, *homes]

    def _recorded_on(self, lag: int | None, things: Sequence[object]) -> str:
        """Not before what the list has of the same persons and households."""
        day = later(self.today, self.chance.choice(_LAGS) if lag is None else lag)
        day = max([day, *(self._recorded.get(thing, "") for thing in things)])
        self._recorded.update(dict.fromkeys(things, day))
        return day

    def _arrive(self, filed: RecordedNotice) -> None:
        for person in filed.changes:
            person.stay = Stay(self.place.code, f"{next(self._local_numbers):013d}")
            person.stays.append(person.stay)

    def _leave(self, filed: RecordedNotice) -> None:
        for person, stay in zip(filed.changes, filed.stays, strict=True):
            person.carried = person.facts()
            self.households[person.carried["household"]].pop(person, None)
            stay.left = filed.position
            person.stay = None
            self.departed = [*self.departed[1 - RECENT_MAX :], (person, stay)]

    def _settle(self, persons: Iterable[Resident]) -> None:
        """Put each into the household that the register now has them in."""
        for person in persons:
            if person.stay is None or person.stay.municipality != self.place.code:
                continue
            for filed in person.stay.filed:
                self.households.get(filed.changes[person].get("household", ""), {}).pop(person, None)
            self.households.setdefault(person.household, {})[person] = None

    def _enter(self, filed: RecordedNotice, manner: Manner) -> None:
        form = Form(
            filed.number, self.place.code, filed.reason, filed.position[0], filed.recorded_on,
            self._shown(filed), manner.household if self.json else None,
            next(iter(filed.changes.values()), {}) if manner.household else {}, manner.places,
        )  # fmt: skip
        lines = (line(form),) if self.json else tuple(rows(form))
        self.entries.append(RegisterLine(filed.recorded_on, filed.position[1], lines))

    def _shown(self, filed: RecordedNotice) -> list[Shown]:
        until: Position = filed.position
        shown = []
        for (person, changes), stay in zip(filed.changes.items(), filed.stays, strict=True):
            known = person.facts(until, stay) | changes
            shown.append(Shown(person.code, stay.local_number, known, changes, person.protected))
        return shown


def _stay(person: Resident) -> Stay:
    if person.stay is None:
        raise ValueError("a notice names somebody who lives nowhere")
    return person.stay
