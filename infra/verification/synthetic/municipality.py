"""A municipality's register: its residents, their households and the notices in the order of recording."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count

from infra.verification.synthetic.places import SyntheticMunicipality
from infra.verification.synthetic.rendering import ENTERING, NoticeContent, PersonContent, csv_rows, json_line
from infra.verification.synthetic.residents import Facts, RecordedNotice, Resident, Stay

LEAVING = frozenset({"転出", "国外転出", "死亡"})
CANCELLABLE = frozenset({"転居", "氏名変更", "世帯分離", "世帯合併", "世帯構成変更", "職権修正"})
#: Days between an event and its recording, drawn at random. Notices about one household are recorded in their order.
_LAGS = (0, 0, 0, 1, 2, 3, 5, 9)
#: Number of recent notices and departures that later notices may cancel or refer to.
RECENT_MAX = 200


def add_days(day: str, days: int) -> str:
    """Return the day `days` days after `day`, both as ISO text."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class RecordedLines:
    """The lines of a notice in its register's file, which is sorted by `recorded_on`, then by `sequence`."""

    recorded_on: str
    sequence: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RecordingOptions:
    """How a notice is recorded.

    - `household`: number of the household whose present members are exactly the persons of the notice. A system that
      publishes events by itself then names only the household.
    - `lag`: days between event and recording, negative if it is recorded beforehand; None to draw them at random.
    - `late_stays`: the stays that the notice belongs to if its persons have left since.
    - `after`: persons and households whose earlier notices must be recorded before this one.
    - `relocation`: the municipality moved from or to, or the number of the cancelled notice, by field name.
    """

    household: str | None = None
    lag: int | None = None
    late_stays: tuple[Stay, ...] = ()
    after: Sequence[object] = ()
    relocation: Mapping[str, str] = field(default_factory=dict)


DEFAULT_OPTIONS = RecordingOptions()


@dataclass
class SyntheticRegister:
    """The register of one municipality.

    `json`: it submits JSON Lines, otherwise CSV. `cp932`: its file is encoded in CP932. Numbers of notices, households
    and residents count up from `first_number`.
    """

    municipality: SyntheticMunicipality
    json: bool
    cp932: bool
    rng: random.Random
    sequence: count[int]
    today: str
    households: dict[str, dict[Resident, None]] = field(default_factory=dict)
    recorded_lines: list[RecordedLines] = field(default_factory=list)
    cancellable: list[RecordedNotice] = field(default_factory=list)
    departed: list[tuple[Resident, Stay]] = field(default_factory=list)
    first_number: int = 1
    _last_recorded_on: dict[object, str] = field(default_factory=dict)
    _household_numbers: count[int] = field(init=False)
    _local_numbers: count[int] = field(init=False)
    _notice_numbers: count[int] = field(init=False)

    def __post_init__(self) -> None:
        self._household_numbers = count(self.first_number)
        self._local_numbers = count(self.first_number)
        self._notice_numbers = count(self.first_number)

    # -- numbers

    def new_household(self) -> str:
        """Return an unused household number."""
        return f"{next(self._household_numbers):012d}"

    def new_notice(self) -> str:
        """Return an unused notice number. Numbers are scattered: they don't show the order of the notices."""
        code = self.municipality.code
        scattered = (next(self._notice_numbers) * 618_033_989 + int(code) * 7_654_321) % 10**9
        return f"{code[:5]}-{scattered:09d}"

    def new_address(self) -> str:
        """Return a random address in the municipality."""
        draw = self.rng.randint
        town = f"{self.municipality.name}{self.rng.choice(self.municipality.towns)}"
        return f"{town}{draw(1, 5)}丁目{draw(1, 30)}番{draw(1, 20)}号"

    # -- notices

    def record(
        self,
        reason: str,
        effective_on: str,
        changes: Mapping[Resident, Facts],
        options: RecordingOptions = DEFAULT_OPTIONS,
    ) -> RecordedNotice:
        """Record a notice and update the register by it."""
        effect_order = (effective_on, next(self.sequence))
        concerned_before = self._concerned(changes)
        notice = RecordedNotice(self.new_notice(), reason, effect_order, "", dict(changes))
        if reason in ENTERING:
            self._begin_stays(notice)
        notice.stays = options.late_stays or tuple(_present_stay(person) for person in changes)
        if reason != "取消":
            for stay in notice.stays:
                stay.notices.append(notice)
        notice.recorded_on = self._recording_day(
            options.lag, [*options.after, *concerned_before, *self._concerned(changes)]
        )
        self._append_lines(notice, options)
        if reason in LEAVING:
            self._end_stays(notice)
        self._update_households(changes)
        if reason in CANCELLABLE and not options.late_stays:
            self.cancellable = [*self.cancellable[1 - RECENT_MAX :], notice]
        return notice

    def cancel(self, target: RecordedNotice, *, valid: bool, number: str = "") -> RecordedNotice:
        """Record a cancellation of `target`.

        `valid`: it will be accepted. `number`: the number that the cancellation names instead of the target's.
        """
        concerned_before = self._concerned(target.changes)
        target.cancelled = target.cancelled or valid
        self._update_households(target.changes)
        no_changes: dict[Resident, Facts] = {person: {} for person in target.changes}
        options = RecordingOptions(after=concerned_before, relocation={"cancels": number or target.number})
        return self.record("取消", target.effect_order[0], no_changes, options)

    def is_overtaken(self, target: RecordedNotice) -> bool:
        """Return whether one of the target's persons has a notice later in the order of effect."""
        return any(
            notice.effect_order > target.effect_order and not notice.cancelled
            for stay in target.stays
            for notice in stay.notices
        )

    def repeat_last(self) -> None:
        """Submit the last notice a second time, unchanged."""
        last = self.recorded_lines[-1]
        self.recorded_lines.append(RecordedLines(last.recorded_on, last.sequence, last.lines))

    # -- parts of recording

    def _concerned(self, persons: Iterable[Resident]) -> list[object]:
        """Return the persons and the numbers of their present households."""
        households = [person.household for person in persons if person.stay and person.stay.notices]
        return [*persons, *households]

    def _recording_day(self, lag: int | None, concerned: Sequence[object]) -> str:
        """Return the day of recording, not before that of earlier notices about the same persons and households."""
        day = add_days(self.today, self.rng.choice(_LAGS) if lag is None else lag)
        day = max([day, *(self._last_recorded_on.get(key, "") for key in concerned)])
        self._last_recorded_on.update(dict.fromkeys(concerned, day))
        return day

    def _begin_stays(self, notice: RecordedNotice) -> None:
        for person in notice.changes:
            person.stay = Stay(self.municipality.code, f"{next(self._local_numbers):013d}")
            person.stays.append(person.stay)

    def _end_stays(self, notice: RecordedNotice) -> None:
        for person, stay in zip(notice.changes, notice.stays, strict=True):
            person.facts_when_leaving = person.facts()
            self.households[person.facts_when_leaving["household"]].pop(person, None)
            stay.left = notice.effect_order
            person.stay = None
            self.departed = [*self.departed[1 - RECENT_MAX :], (person, stay)]

    def _update_households(self, persons: Iterable[Resident]) -> None:
        """Move each person into the household that the register now has for them."""
        for person in persons:
            if person.stay is None or person.stay.municipality != self.municipality.code:
                continue
            for notice in person.stay.notices:
                self.households.get(notice.changes[person].get("household", ""), {}).pop(person, None)
            self.households.setdefault(person.household, {})[person] = None

    def _append_lines(self, notice: RecordedNotice, options: RecordingOptions) -> None:
        content = NoticeContent(
            notice.number, self.municipality.code, notice.reason, notice.effect_order[0], notice.recorded_on,
            self._person_contents(notice), options.household if self.json else None,
            next(iter(notice.changes.values()), {}) if options.household else {}, options.relocation,
        )  # fmt: skip
        lines = (json_line(content),) if self.json else tuple(csv_rows(content))
        self.recorded_lines.append(RecordedLines(notice.recorded_on, notice.effect_order[1], lines))

    def _person_contents(self, notice: RecordedNotice) -> list[PersonContent]:
        contents = []
        for (person, changes), stay in zip(notice.changes.items(), notice.stays, strict=True):
            known = person.facts(notice.effect_order, stay) | changes
            contents.append(PersonContent(person.code, stay.local_number, known, changes, person.protected))
        return contents


def _present_stay(person: Resident) -> Stay:
    if person.stay is None:
        raise ValueError("cannot record a notice about a person who is not a resident anywhere")
    return person.stay
