"""What the stores must hold after files of the samples' format."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.verification.reference.acceptance import AcceptedNotice, ReferenceRegister
from infra.verification.reference.ledger import ledger_of, rows_of
from infra.verification.reference.notice import AccountEvent, Enrolment, Submission
from infra.verification.reference.parsing import hand_overs
from infra.verification.reference.reference_order import Entry, in_order_of_effect
from infra.verification.reference.reference_person import Person, Row, fold
from infra.verification.reference.roman import romanised

COLUMNS = ("name", "kana", "roman", "birth_date", "sex", "address", "relationship")


@dataclass(frozen=True)
class ExpectedRejection:
    """A hand-over refused: where it stands, its number if that can be read, and a short reason code."""

    source: str
    line: int
    notice: str | None
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """A hand-over that was the same as one before."""

    source: str
    line: int
    notice: str | None


@dataclass(frozen=True)
class Detail:
    """What `Expected.rows` and `accounts` leave out, row by row: `person` is an index, the same in all domains.

    `household` is municipality and number, as codes differ by domain and key; accounts have none.
    """

    person: int
    effective_on: str
    household: str | None = None


@dataclass
class Expected:
    """What must be there: `rows`, `households`, `portal`, `refused` as in the samples' expected.json.

    `accounts` are the rows of the tables `account`, with domain and municipality. `details[i]` belongs to `rows[i]`,
    `account_details[i]` to `accounts[i]`, `portal_persons[i]` says whose messages `portal[i]` are. `conflicts` counts
    the enrolments that came to nothing, by domain, municipality and day; `account_conflicts` those of accounts, by
    kind and day. `accepted` counts the notices by reason, `messages` the portal's.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    households: list[list[str]] = field(default_factory=list)
    portal: list[list[list[str]]] = field(default_factory=list)
    portal_persons: list[int] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    account_details: list[Detail] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    refusals: list[ExpectedRejection] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    conflicts: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    account_conflicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    messages: int = 0


def expected(files: Sequence[Path], progress: Callable[[str], None] = lambda _: None) -> Expected:
    """What the stores must hold after `files`; those of one municipality in the order given.

    Raises ValueError where a file is of another format. `progress` is told of each part of the work.
    """
    taken, outcome = _read(files, progress)
    for register in taken.registers.values():
        _account_for(register, outcome)
    progress("folding")
    _fold_all(taken, outcome)
    _sort(outcome)
    return outcome


@dataclass
class _Taken:
    """What was read: registers by municipality; enrolments and account events by person."""

    registers: dict[str, ReferenceRegister] = field(default_factory=dict)
    enrolments: dict[str, list[Enrolment]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[AccountEvent]] = field(default_factory=lambda: defaultdict(list))


def _read(files: Sequence[Path], progress: Callable[[str], None]) -> tuple[_Taken, Expected]:
    taken, outcome, seen = _Taken(), Expected(), set[object]()
    for path in files:
        progress(f"reading {path.name}")
        for hand_over in hand_overs(path):
            if hand_over.submitter:
                register = taken.registers.setdefault(
                    hand_over.submitter, ReferenceRegister(hand_over.submitter)
                )
                register.take(hand_over)
            else:
                _take_claim(hand_over, seen, taken, outcome)
    return taken, outcome


def _take_claim(hand_over: Submission, seen: set[object], taken: _Taken, outcome: Expected) -> None:
    content = hand_over.content
    if hand_over.identity in seen:
        outcome.duplicates.append(Duplicate(hand_over.source, hand_over.line, None))
    elif isinstance(content, Enrolment):
        taken.enrolments[content.code].append(content)
    elif isinstance(content, AccountEvent):
        taken.events[content.code].append(content)
    else:
        outcome.refusals.append(
            ExpectedRejection(hand_over.source, hand_over.line, None, hand_over.fault or "")
        )
    seen.add(hand_over.identity)


def _account_for(register: ReferenceRegister, outcome: Expected) -> None:
    for hand_over, reason in register.refusals:
        outcome.refusals.append(ExpectedRejection(hand_over.source, hand_over.line, hand_over.number, reason))
        if hand_over.reason == "取消" and hand_over.number:
            outcome.refused = sorted({*outcome.refused, hand_over.number})
    outcome.duplicates += [Duplicate(it.source, it.line, it.number) for it in register.duplicates]
    outcome.accepted.update(listed.notice.reason for listed in register.listed)


def _fold_all(taken: _Taken, outcome: Expected) -> None:
    concerned: dict[str, list[AcceptedNotice]] = defaultdict(list)
    for register in taken.registers.values():
        for listed in register.listed:
            for code in listed.persons:
                concerned[code].append(listed)
    households: dict[str, list[str]] = defaultdict(list)
    for index, code in enumerate(sorted({*concerned, *taken.enrolments, *taken.events})):
        person = fold(in_order_of_effect(_entries(code, concerned[code])), taken.enrolments.get(code, ()))
        _add_rows(index, person, outcome)
        _add_messages(index, concerned[code], person, outcome)
        _add_accounts(index, taken.events.get(code, ()), person, outcome)
        _add_to_households(person, households)
        outcome.conflicts.update((it.domain, it.municipality, it.since) for it in person.idle)
    outcome.households = sorted(sorted(members) for members in households.values())


def _entries(code: str, concerned: Iterable[AcceptedNotice]) -> Iterator[Entry]:
    """What still counts for the person: neither cancelled notices nor the cancellations."""
    for listed in concerned:
        if not listed.cancelled and listed.notice.reason != "取消":
            yield Entry(listed.place, listed.notice, listed.persons[code])


def _household(row: Row) -> str | None:
    return f"{row.municipality}/{row.facts['household']}" if row.municipality else None


def _add_rows(index: int, person: Person, outcome: Expected) -> None:
    for row in person.rows.values():
        shown = {**row.shown(protected=person.protected), "roman": romanised(row.facts["kana"])}
        columns = {name: shown[name] for name in COLUMNS if name in shown}
        outcome.rows.append(
            {"domain": row.domain, "municipality": row.municipality, "status": row.status, **columns}
        )
        outcome.details.append(Detail(index, row.effective_on, _household(row)))


def _add_messages(index: int, concerned: Iterable[AcceptedNotice], person: Person, outcome: Expected) -> None:
    """A message per accepted notice after the day of enrolment, but for the person's own death."""
    since = person.in_portal_since
    if since is None:
        return
    notices = [listed.notice for listed in concerned if listed.notice.reason != "死亡"]
    messages = sorted([it.reason, it.effective_on] for it in notices if it.effective_on > since)
    outcome.messages += len(messages)
    if messages:
        outcome.portal.append(messages)
        outcome.portal_persons.append(index)


def _add_accounts(index: int, events: Iterable[AccountEvent], person: Person, outcome: Expected) -> None:
    ledger = ledger_of(events, person.readings)
    for row in rows_of(ledger, person):
        outcome.account_details.append(Detail(index, str(row.pop("effective_on"))))
        outcome.accounts.append(row)
    outcome.account_conflicts.update(ledger.conflicts.values())


def _sort(outcome: Expected) -> None:
    """By their values, so that the same city gives the same lists in whatever order its files came."""
    outcome.rows, outcome.details = _sorted(outcome.rows, outcome.details)
    outcome.accounts, outcome.account_details = _sorted(outcome.accounts, outcome.account_details)
    told = sorted(zip(outcome.portal, outcome.portal_persons, strict=True))
    outcome.portal, outcome.portal_persons = [each for each, _ in told], [person for _, person in told]


def _sorted(rows: list[dict[str, Any]], details: list[Detail]) -> tuple[list[dict[str, Any]], list[Detail]]:
    paired = sorted(
        zip(rows, details, strict=True),
        key=lambda pair: [str(value) for value in (*pair[0].values(), pair[1].person)],
    )
    return [row for row, _ in paired], [detail for _, detail in paired]


def _add_to_households(person: Person, households: dict[str, list[str]]) -> None:
    for row in person.rows.values():
        if row.domain == "local-tax" and row.status != "closed":
            households[_household(row) or ""].append(row.facts["name"] + row.facts["birth_date"])


def as_json(outcome: Expected) -> str:
    """The four parts that the samples' expected.json has."""
    parts = {name: getattr(outcome, name) for name in ("rows", "households", "portal", "refused")}
    return json.dumps(parts, ensure_ascii=False, indent=1)
