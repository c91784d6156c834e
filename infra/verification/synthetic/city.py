"""The simulated city: its registers and residents, and what was meant by their notices."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from infra.verification.synthetic.municipality import PLAINLY, Manner, SyntheticRegister, later
from infra.verification.synthetic.names import fits_cp932, full, surname
from infra.verification.synthetic.places import municipalities_for
from infra.verification.synthetic.residents import Facts, RecordedNotice, Resident

FIRST_DAY = "2026-02-01"
START = "2026-03-01"
#: Distance between the first numbers of two cities that one mesh ingests, and between their first resident codes.
_NUMBERS_PER_CITY = 5_000_000
_CODES_PER_CITY = 2 * 10**9
CITIES_MAX = 5
#: Ages that live together: a single, a couple, with children, with a parent.
_SHAPES = (
    "世帯主",
    "世帯主 配",
    "世帯主 配 子",
    "世帯主 配 子 子",
    "世帯主 子",
    "世帯主 配 子 子 子",
    "世帯主 配 母",
)
_YEARS = {"子": (2009, 2025), "母": (1936, 1955)}


@dataclass
class ExpectedCounts:
    """What a city means, known before anybody has read its files."""

    refused: list[str] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    duplicates: int = 0
    residents: int = 0
    on_the_way: int = 0


@dataclass(frozen=True)
class OnTheWay:
    """A move between municipalities whose move in is still to come; `until` is its day of effect."""

    persons: Sequence[Resident]
    origin: str
    to: SyntheticRegister
    until: str


class City:
    """State of the simulation. All chance comes from one seed.

    Cities of different `index` (0 to CITIES_MAX - 1) share no resident code and no number of a notice, household,
    resident or account, so that one mesh can ingest several, also where they have municipalities in common.
    """

    def __init__(self, residents: int, seed: int, index: int = 0) -> None:
        if not 0 <= index < CITIES_MAX:
            raise ValueError(f"index of a city must be 0 to {CITIES_MAX - 1}, not {index}")
        self.chance = random.Random(seed)  # noqa: S311 (invented residents, nothing secret)
        self.expected = ExpectedCounts()
        self.today = START
        self.on_the_way: list[OnTheWay] = []
        self.abroad: list[Resident] = []
        self.dead: list[Resident] = []
        self.moved: list[tuple[Resident, SyntheticRegister]] = []
        self.first_index = index * _NUMBERS_PER_CITY
        sequence = count(1)
        self.registers = [
            SyntheticRegister(
                place,
                json=position % 2 == 1,
                old=position == 4,
                chance=self.chance,
                sequence=sequence,
                today=FIRST_DAY,
                first_number=1 + self.first_index,
            )
            for position, place in enumerate(municipalities_for(residents))
        ]
        self.residents: list[Resident] = []
        self.conflicting: set[str] = set()
        self._codes = count(self.chance.randrange(10**9) + index * _CODES_PER_CITY)
        self.of_code = {register.place.code: register for register in self.registers}

    def begin(self, day: str) -> None:
        """The next day."""
        self.today = day
        for register in self.registers:
            register.today = day

    # -- residents

    def new_resident(self) -> Resident:
        """Somebody with a code that nobody else has."""
        resident = Resident(f"7{next(self._codes) * 7_654_321_987 % 10**10:010d}")
        self.residents.append(resident)
        self.expected.residents += 1
        return resident

    def born_between(self, first: int, last: int) -> str:
        """A date of birth in those years."""
        return later(f"{self.chance.randint(first, last)}-01-01", self.chance.randrange(365))

    def _part(self, role: str, head_sex: str) -> tuple[str, str]:
        """Relationship and sex of a member of a new household."""
        if role == "配":
            return ("妻", "女") if head_sex == "男" else ("夫", "男")
        return role, "女" if role == "母" else self.chance.choice("男女")

    def first_registration(self, register: SyntheticRegister, index: int, total: int) -> RecordedNotice:
        """A new household, listed with the others between the 1st and the 10th."""
        family = surname(self.chance, plain=register.old)
        household, address = register.new_household(), register.new_address()
        changes: dict[Resident, Facts] = {}
        for role in self.chance.choice(_SHAPES).split():
            head_sex = next(iter(changes.values()), {"sex": ""})["sex"]
            relationship, sex = self._part(role, head_sex)
            name, kana = full(family, self.chance, sex)
            changes[self.new_resident()] = {
                "name": name, "kana": kana, "birth_date": self.born_between(*_YEARS.get(role, (1940, 2003))),
                "sex": sex, "relationship": relationship, "household": household, "address": address,
            }  # fmt: skip
        return self.enter(register, "初期登録", FIRST_DAY, changes, Manner(lag=index * 10 // total))

    # -- notices

    def enter(
        self,
        register: SyntheticRegister,
        reason: str,
        day: str,
        changes: dict[Resident, Facts],
        manner: Manner = PLAINLY,
    ) -> RecordedNotice:
        """List a notice that is meant to be accepted; now and then it is handed over twice."""
        filed = register.file(reason, day, changes, manner)
        self.expected.accepted[reason] += 1
        if reason != "初期登録" and self.chance.random() < 0.01:
            register.again()
            self.expected.duplicates += 1
        return filed

    def note_cancellation(self, filed: RecordedNotice, *, good: bool) -> None:
        """Keep what a cancellation was meant to come to."""
        if good:
            self.expected.accepted[filed.reason] += 1
        else:
            self.expected.refused.append(filed.number)

    # -- picking

    def home(self, size_min: int = 1) -> tuple[SyntheticRegister, str, list[Resident]] | None:
        """A household somewhere, with its members; None where chance finds none of that size."""
        for _ in range(30):
            register = self.chance.choice(self.registers)
            number = f"{self.chance.randint(1, max(1, len(register.households))):012d}"
            members = list(register.households.get(number, ()))
            if len(members) >= size_min:
                return register, number, members
        return None

    def register_of(self, person: Resident) -> SyntheticRegister:
        """Where somebody is resident."""
        if person.stay is None:
            raise ValueError("asked for the register of somebody who is on the way, abroad or dead")
        return self.of_code[person.stay.municipality]

    def elsewhere(self, register: SyntheticRegister, persons: Sequence[Resident]) -> SyntheticRegister | None:
        """Another municipality that can write their names."""
        plain = all(fits_cp932(person.facts()["name"]) for person in persons)
        others = [other for other in self.registers if other is not register and (plain or not other.old)]
        return self.chance.choice(others) if others else None


def head_of(members: Sequence[Resident]) -> Resident:
    """The head of a household, or who would be next."""
    return next((person for person in members if person.facts()["relationship"] == "世帯主"), members[0])
