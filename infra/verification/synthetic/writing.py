"""A synthetic city into a folder, in the samples' format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from infra.verification.synthetic.city import START, City, ExpectedCounts
from infra.verification.synthetic.holdings import ENROLMENT_HEADER, accounts, at_first, of_today
from infra.verification.synthetic.life_events import HAPPENINGS, arrive
from infra.verification.synthetic.municipality import RegisterLine, SyntheticRegister, later
from infra.verification.synthetic.rendering import HEADER

#: Happenings a day for each resident, as a busy city in early spring has them.
RATE = 0.006
Progress = Callable[[str, int, int], None]


class RegisterFile:
    """One register's file, open for writing: CSV with running numbers, or JSON Lines."""

    def __init__(self, folder: Path, register: SyntheticRegister) -> None:
        kind = "notices" if register.json else "juki"
        name = f"{kind}_{register.place.code}.{'jsonl' if register.json else 'csv'}"
        encoding = "cp932" if register.old else "utf-8" if register.json else "utf-8-sig"
        self.json = register.json
        self.file: IO[str] = (folder / name).open("w", encoding=encoding, newline="")
        self.running = 0
        if not self.json:
            self.file.write(f"{HEADER}\r\n")

    def write(self, entries: Iterable[RegisterLine]) -> None:
        """Append entries as they stand."""
        for entry in entries:
            for text in entry.lines:
                self.running += 1
                self.file.write(f"{text}\n" if self.json else f"{self.running},{text}\r\n")


def write_city(  # noqa: PLR0913 (a city has as many properties)
    folder: Path,
    residents: int,
    days: int,
    seed: int,
    progress: Progress = lambda *_: None,
    *,
    index: int = 0,
) -> ExpectedCounts:
    """A city of about `residents` first registered, and `days` of changes from 1 March, into the folder `folder`.

    Return what the city means. `progress` receives the name of a part, how much of it is done, and the total.
    Give each city that one mesh is to ingest another `index`: then no two have a number in common.
    """
    folder.mkdir(parents=True, exist_ok=True)
    city = City(residents, seed, index)
    files = [RegisterFile(folder, register) for register in city.registers]
    with (folder / "enrolments.csv").open("w", encoding="utf-8-sig", newline="") as enrolments:
        enrolments.write(f"{ENROLMENT_HEADER}\r\n")
        _settle_first(city, files, residents, enrolments, progress)
        _live(city, days, enrolments, progress)
    for register, file in zip(city.registers, files, strict=True):
        file.write(sorted(register.entries, key=lambda entry: (entry.recorded_on, entry.sequence)))
        file.file.close()
    with (folder / "events_portal.jsonl").open("w", encoding="utf-8", newline="") as events:
        events.writelines(f"{event}\n" for event in accounts(city, days))
    city.expected.on_the_way = sum(len(way.persons) for way in city.on_the_way)
    return city.expected


def _settle_first(
    city: City, files: list[RegisterFile], residents: int, enrolments: IO[str], progress: Progress
) -> None:
    share = residents // len(files)
    for index, (register, file) in enumerate(zip(city.registers, files, strict=True)):
        goal = residents if index == len(files) - 1 else (index + 1) * share
        first = len(city.residents)
        while len(city.residents) < goal:
            filed = city.first_registration(register, len(city.residents) - first, goal - first)
            for person in filed.changes:
                enrolments.writelines(f"{row}\r\n" for row in at_first(city, person, register))
        file.write(register.entries)
        register.entries.clear()
        progress("registering", len(city.residents), residents)


def _live(city: City, days: int, enrolments: IO[str], progress: Progress) -> None:
    """Day by day: who arrives, what happens, who is enrolled. Every kind happens if anybody is there for it."""
    kinds, weights = list(HAPPENINGS), list(HAPPENINGS.values())
    owed = list(HAPPENINGS)
    rate = max(1, round(len(city.residents) * RATE))
    for number in range(days):
        city.begin(later(START, number))
        _arrivals(city)
        due = [owed.pop(0) for _ in range(-(-len(owed) // (days - number)))]
        owed += [kind for kind in due if not kind(city)]
        for kind in city.chance.choices(kinds, weights, k=rate):
            kind(city)
        enrolments.writelines(f"{row}\r\n" for row in of_today(city, max(1, rate // 5)))
        progress("living", number + 1, days)


def _arrivals(city: City) -> None:
    for way in [way for way in city.on_the_way if way.until <= city.today]:
        city.on_the_way.remove(way)
        arrive(city, way)
