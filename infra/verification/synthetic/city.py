"""The simulated city: its registers and residents, and the counts that the reference model must find."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from infra.verification.synthetic.municipality import (
    DEFAULT_OPTIONS,
    RecordingOptions,
    SyntheticRegister,
    add_days,
)
from infra.verification.synthetic.names import fits_cp932, full_name, pick_surname
from infra.verification.synthetic.places import municipalities_for
from infra.verification.synthetic.residents import Facts, RecordedNotice, Resident

#: Day of effect of the first registrations.
FIRST_DAY = "2025-11-17"
#: First day of changes.
START = "2025-12-15"
#: Distance between the first numbers of two cities that one mesh ingests, and between their first resident codes.
_NUMBERS_PER_CITY = 5_000_000
_CODES_PER_CITY = 2 * 10**9
CITIES_MAX = 5
#: Roles in a new household: a single, a couple, with children, with a parent.
_HOUSEHOLDS = (
    "世帯主",
    "世帯主 配",
    "世帯主 配 子",
    "世帯主 配 子 子",
    "世帯主 子",
    "世帯主 配 子 子 子",
    "世帯主 配 母",
)
#: Role -> first and last year of birth.
_BIRTH_YEARS = {"子": (2009, 2025), "母": (1936, 1955)}


@dataclass
class ExpectedCounts:
    """Counts that the reference model must find in a city's files.

    `rejected` are the numbers of the rejected notices, `accepted` counts the others by reason; `conflicts` counts the
    enrolments without effect by domain, municipality and day; `pending_moves` is the number of persons who have moved
    out and not in yet when the files end. Of the events of declared entities, `rejected_events` are the rejected ones
    (system, municipality, "" if national, and number), and `events_twice` counts those that are submitted twice.
    """

    rejected: list[str] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    duplicates: int = 0
    residents: int = 0
    pending_moves: int = 0
    rejected_events: set[tuple[str, str, str]] = field(default_factory=set)
    events_twice: int = 0


@dataclass(frozen=True)
class PendingMove:
    """A move whose move out is recorded and whose move in is not yet.

    `moved_from` is a municipality code, or 999999 for abroad. `arrives_on` is the move in's day of effect.
    """

    persons: Sequence[Resident]
    moved_from: str
    to: SyntheticRegister
    arrives_on: str


class City:
    """State of the simulation. All random numbers come from one seed.

    Cities of different `index` (0 to CITIES_MAX - 1) share no resident code and no number of a notice, household,
    resident or account. Therefore one mesh can ingest several, even if they have municipalities in common.
    """

    def __init__(self, residents: int, seed: int, index: int = 0) -> None:
        if not 0 <= index < CITIES_MAX:
            raise ValueError(f"index of a city is {index}, must be 0 to {CITIES_MAX - 1}")
        self.rng = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
        self.expected = ExpectedCounts()
        self.today = START
        self.pending_moves: list[PendingMove] = []
        self.abroad: list[Resident] = []
        self.dead: list[Resident] = []
        self.moved_in: list[tuple[Resident, SyntheticRegister]] = []
        self.first_index = index * _NUMBERS_PER_CITY
        sequence = count(1)
        self.registers = [
            SyntheticRegister(
                municipality,
                json=number % 2 == 1,
                cp932=number == 4,
                rng=self.rng,
                sequence=sequence,
                today=FIRST_DAY,
                first_number=1 + self.first_index,
            )
            for number, municipality in enumerate(municipalities_for(residents))
        ]
        self.residents: list[Resident] = []
        self.conflicting: set[str] = set()
        self._codes = count(self.rng.randrange(10**9) + index * _CODES_PER_CITY)
        self.register_by_code = {register.municipality.code: register for register in self.registers}

    def start_day(self, day: str) -> None:
        """Set the current day."""
        self.today = day
        for register in self.registers:
            register.today = day

    # -- residents

    def new_resident(self) -> Resident:
        """Return a new person with an unused resident record code."""
        resident = Resident(f"7{next(self._codes) * 7_654_321_987 % 10**10:010d}")
        self.residents.append(resident)
        self.expected.residents += 1
        return resident

    def born_between(self, first: int, last: int) -> str:
        """Return a random date of birth in the years `first` to `last`."""
        return add_days(f"{self.rng.randint(first, last)}-01-01", self.rng.randrange(365))

    def _relationship_and_sex(self, role: str, head_sex: str) -> tuple[str, str]:
        """Return relationship and sex of a member of a new household."""
        if role == "配":
            return ("妻", "女") if head_sex == "男" else ("夫", "男")
        return role, "女" if role == "母" else self.rng.choice("男女")

    def first_registration(self, register: SyntheticRegister, index: int, total: int) -> RecordedNotice:
        """Register household `index` of `total` in the first registrations, which are recorded over ten days."""
        family = pick_surname(self.rng, plain=register.cp932)
        household, address = register.new_household(), register.new_address()
        changes: dict[Resident, Facts] = {}
        for role in self.rng.choice(_HOUSEHOLDS).split():
            head_sex = next(iter(changes.values()), {"sex": ""})["sex"]
            relationship, sex = self._relationship_and_sex(role, head_sex)
            name, kana = full_name(family, self.rng, sex)
            changes[self.new_resident()] = {
                "name": name, "kana": kana, "birth_date": self.born_between(*_BIRTH_YEARS.get(role, (1940, 2003))),
                "sex": sex, "relationship": relationship, "household": household, "address": address,
            }  # fmt: skip
        return self.record_notice(
            register, "初期登録", FIRST_DAY, changes, RecordingOptions(lag=index * 10 // total)
        )

    # -- notices

    def record_notice(
        self,
        register: SyntheticRegister,
        reason: str,
        day: str,
        changes: dict[Resident, Facts],
        options: RecordingOptions = DEFAULT_OPTIONS,
    ) -> RecordedNotice:
        """Record a notice that will be accepted. One in a hundred, except first registrations, is submitted twice."""
        notice = register.record(reason, day, changes, options)
        self.expected.accepted[reason] += 1
        if reason != "初期登録" and self.rng.random() < 0.01:
            register.repeat_last()
            self.expected.duplicates += 1
        return notice

    def count_cancellation(self, notice: RecordedNotice, *, valid: bool) -> None:
        """Count a cancellation as accepted if it is valid, otherwise as rejected."""
        if valid:
            self.expected.accepted[notice.reason] += 1
        else:
            self.expected.rejected.append(notice.number)

    # -- random choice

    def pick_household(self, size_min: int = 1) -> tuple[SyntheticRegister, str, list[Resident]] | None:
        """Return the register, number and members of a random household with at least `size_min` members.

        Return None if 30 draws find none.
        """
        for _ in range(30):
            register = self.rng.choice(self.registers)
            number = f"{self.rng.randint(1, max(1, len(register.households))):012d}"
            members = list(register.households.get(number, ()))
            if len(members) >= size_min:
                return register, number, members
        return None

    def register_of(self, person: Resident) -> SyntheticRegister:
        """Return the register of a resident."""
        if person.stay is None:
            raise ValueError("the person is moving, abroad or dead, and in no register")
        return self.register_by_code[person.stay.municipality]

    def pick_other_register(
        self, register: SyntheticRegister, persons: Sequence[Resident]
    ) -> SyntheticRegister | None:
        """Return a random other register whose encoding can represent the persons' names, or None."""
        fits_any_register = all(fits_cp932(person.facts()["name"]) for person in persons)
        others = [
            other
            for other in self.registers
            if other is not register and (fits_any_register or not other.cp932)
        ]
        return self.rng.choice(others) if others else None


def head_of(members: Sequence[Resident]) -> Resident:
    """Return the head of a household; its first member if it has no head."""
    return next((person for person in members if person.facts()["relationship"] == "世帯主"), members[0])
