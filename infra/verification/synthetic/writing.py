"""Writes a synthetic city into a folder, in the samples' format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from infra.verification.synthetic.city import START, City, ExpectedCounts
from infra.verification.synthetic.enrolments_and_accounts import (
    ENROLMENT_HEADER,
    account_events,
    daily_enrolments,
    first_enrolments,
)
from infra.verification.synthetic.life_events import LIFE_EVENTS, move_in
from infra.verification.synthetic.municipality import RecordedLines, SyntheticRegister, add_days
from infra.verification.synthetic.rendering import HEADER
from infra.verification.synthetic.synthetic_entities import write_entity_events

#: Life events per resident and day, as in a busy city in early spring.
RATE = 0.006
Progress = Callable[[str, int, int], None]


class RegisterFile:
    """One register's file, open for writing: CSV with running numbers, or JSON Lines."""

    def __init__(self, folder: Path, register: SyntheticRegister) -> None:
        prefix = "notices" if register.json else "juki"
        name = f"{prefix}_{register.municipality.code}.{'jsonl' if register.json else 'csv'}"
        encoding = "cp932" if register.cp932 else "utf-8" if register.json else "utf-8-sig"
        self.json = register.json
        self.file: IO[str] = (folder / name).open("w", encoding=encoding, newline="")
        self.running_number = 0
        if not self.json:
            self.file.write(f"{HEADER}\r\n")

    def write(self, notices: Iterable[RecordedLines]) -> None:
        """Append the lines of the notices, in the order of `notices`."""
        for notice in notices:
            for line in notice.lines:
                self.running_number += 1
                self.file.write(f"{line}\n" if self.json else f"{self.running_number},{line}\r\n")


def write_city(  # noqa: PLR0913 (a city has as many properties)
    folder: Path,
    residents: int,
    days: int,
    seed: int,
    progress: Progress = lambda *_: None,
    *,
    index: int = 0,
    with_entities: bool = False,
) -> ExpectedCounts:
    """Write a city of about `residents` on the first day, with `days` of changes from 15 December, into `folder`.

    Return the counts that the reference model must find in it. `progress` is called with the name of a part of the
    work, how much of it is done, and the total. Cities that one mesh ingests must have different `index`es, then no
    number occurs in two of them. `with_entities`: write events of declared entities too; nothing else depends on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    city = City(residents, seed, index)
    files = [RegisterFile(folder, register) for register in city.registers]
    with (folder / "enrolments.csv").open("w", encoding="utf-8-sig", newline="") as enrolments:
        enrolments.write(f"{ENROLMENT_HEADER}\r\n")
        _write_first_day(city, files, residents, enrolments, progress)
        _simulate_days(city, days, enrolments, progress)
    for register, file in zip(city.registers, files, strict=True):
        file.write(sorted(register.recorded_lines, key=lambda notice: (notice.recorded_on, notice.sequence)))
        file.file.close()
    with (folder / "events_portal.jsonl").open("w", encoding="utf-8", newline="") as events:
        events.writelines(f"{event}\n" for event in account_events(city, days))
    if with_entities:
        write_entity_events(folder, city, seed, days)
    city.expected.pending_moves = sum(len(move.persons) for move in city.pending_moves)
    return city.expected


def _write_first_day(
    city: City, files: list[RegisterFile], residents: int, enrolments: IO[str], progress: Progress
) -> None:
    """Write the first registrations, an equal share of the residents in each municipality, and their enrolments."""
    share = residents // len(files)
    for index, (register, file) in enumerate(zip(city.registers, files, strict=True)):
        goal = residents if index == len(files) - 1 else (index + 1) * share
        first = len(city.residents)
        while len(city.residents) < goal:
            notice = city.first_registration(register, len(city.residents) - first, goal - first)
            for person in notice.changes:
                enrolments.writelines(f"{row}\r\n" for row in first_enrolments(city, person, register))
        file.write(register.recorded_lines)
        register.recorded_lines.clear()
        progress("registering", len(city.residents), residents)


def _simulate_days(city: City, days: int, enrolments: IO[str], progress: Progress) -> None:
    """Simulate each day's arrivals, life events and enrolments.

    Besides the events drawn by weight, each kind is tried until it has happened once: a kind happens in every city
    that has anybody to whom it can happen.
    """
    kinds, weights = list(LIFE_EVENTS), list(LIFE_EVENTS.values())
    not_happened = list(LIFE_EVENTS)
    rate = max(1, round(len(city.residents) * RATE))
    for day in range(days):
        city.start_day(add_days(START, day))
        _finish_moves(city)
        attempts = [not_happened.pop(0) for _ in range(-(-len(not_happened) // (days - day)))]
        not_happened += [kind for kind in attempts if not kind(city)]
        for kind in city.rng.choices(kinds, weights, k=rate):
            kind(city)
        enrolments.writelines(f"{row}\r\n" for row in daily_enrolments(city, max(1, rate // 5)))
        progress("living", day + 1, days)


def _finish_moves(city: City) -> None:
    for move in [move for move in city.pending_moves if move.arrives_on <= city.today]:
        city.pending_moves.remove(move)
        move_in(city, move)
