"""What the stores must contain after files of the samples' format."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.verification.reference.acceptance import AcceptedNotice, ReferenceRegister
from infra.verification.reference.entity_acceptance import EntityRegister, id_of
from infra.verification.reference.ledger import account_rows, accounts_by_day, fold_account_events
from infra.verification.reference.notice import (
    LEAVING,
    AccountEvent,
    Enrolment,
    EntityEvent,
    Receipt,
    Submission,
)
from infra.verification.reference.received import without_future
from infra.verification.reference.reference_life import add_days, departed_from, life_of
from infra.verification.reference.reference_order import PersonalNotice, order_by_effect
from infra.verification.reference.reference_parsing import read_submissions
from infra.verification.reference.reference_person import Person, Row, fold, fold_until
from infra.verification.reference.reference_readings import ReadingsOfPerson, timelines_of, without_effect
from infra.verification.reference.roman import romanize

#: Reasons of which the resident receives no message: the own death, and protection, as others may read the portal.
WITHOUT_MESSAGE = frozenset({"死亡", "支援措置開始", "支援措置終了"})
#: Index of a person who is named, but of whom nothing is known.
UNKNOWN_PERSON = -1
#: A day after everything.
END_OF_TIME = "9999-12-31"
#: After so many days without a registration, somebody who has moved out is a case for a clerk.
OVERDUE_AFTER_DAYS = 31
COLUMNS = ("name", "kana", "roman", "birth_date", "sex", "address", "relationship")


@dataclass(frozen=True)
class ExpectedRejection:
    """A rejected submission: file and line, notice number if that can be read, and a short reason code."""

    source: str
    line: int
    notice: str | None
    reason: str


@dataclass(frozen=True)
class ExpectedDuplicate:
    """A submission equal to an earlier one."""

    source: str
    line: int
    notice: str | None


@dataclass(frozen=True)
class RowDetail:
    """Properties of a row of `Expected.rows` or `accounts` that are no columns.

    `person` is an index, the same in all domains. `household` is municipality and number, as household codes differ by
    domain and key; accounts have none.
    """

    person: int
    effective_on: str
    household: str | None = None


@dataclass
class Expected:
    """What the stores must contain.

    - `rows`, `households`, `portal` and `rejected_cancellations` are as in the samples' expected.json (key `refused` is
      `rejected_cancellations`): rows of the tables `person`; per household its members' name and birth date; per
      resident with messages their reasons and days; notice numbers.
    - `details[i]` belongs to `rows[i]`; `portal_persons[i]` is the index of the person that `portal[i]` belongs to.
    - `accounts` are the rows of the tables `account`; `account_details[i]` belongs to `accounts[i]`.
    - `conflicts` counts the enrolments without effect by domain, municipality and day, `account_conflicts` the
      conflicts about accounts by kind and day.
    - `readings` are the rows of declared readings by table (`card.card`), without the person's code, and with the index
      of another person that a column names (UNKNOWN_PERSON if nothing else is known of that person); `reading_persons`
      has the index of each row's person. `rejected_events` are the rejected events of systems with entities, and
      `events_without_effect` those accepted that have none, but of no system of the high level: system, municipality
      ("" if national) and number.
    - `departed` counts who has moved out and is registered nowhere 31 days later, by the municipality of before, the
      one that the notice names (None if the person is protected), and the day.
    - `accepted` counts the accepted notices by reason; `messages` is the number of messages in the portal.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    households: list[list[str]] = field(default_factory=list)
    portal: list[list[list[str]]] = field(default_factory=list)
    portal_persons: list[int] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    account_details: list[RowDetail] = field(default_factory=list)
    rejected_cancellations: list[str] = field(default_factory=list)
    details: list[RowDetail] = field(default_factory=list)
    rejections: list[ExpectedRejection] = field(default_factory=list)
    duplicates: list[ExpectedDuplicate] = field(default_factory=list)
    conflicts: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    account_conflicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    readings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reading_persons: dict[str, list[int]] = field(default_factory=dict)
    rejected_events: set[tuple[str, str, str]] = field(default_factory=set)
    events_without_effect: set[tuple[str, str, str]] = field(default_factory=set)
    departed: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)


#: Returns when the submission at this line of a file was received.
ReceiptOf = Callable[[str, int], Receipt]
#: Returns the day (YYYY-MM-DD, Japan's time) on which the submission at this line of a file was received.
DayOf = Callable[[str, int], str]


def expected(
    files: Sequence[Path],
    progress: Callable[[str], None] = lambda _: None,
    receipt_of: ReceiptOf | None = None,
    received_on: str | DayOf | None = None,
    today: str = END_OF_TIME,
) -> Expected:
    """Return what the stores must contain after `files`, which are in order of submission per municipality.

    `receipt_of` matters only where registrations of one person overlap; by default, submissions are received in the
    order of the files. `received_on` is the day (YYYY-MM-DD, Japan's time) on which all of them, or each of them, were
    received; None: no day lies too far after it. `today` is the day as of which the stores are: what takes effect later
    has had no effect yet. `progress` is called with a description at the start of each part of the work. Raise
    ValueError where the name or the first line of a file has another format.
    """
    outcome = Expected()
    submissions = _submit_all(files, outcome, progress, receipt_of, received_on)
    for register in submissions.registers.values():
        _add_register(register, outcome)
    progress("folding")
    _fold_all(submissions, outcome, today)
    _sort(outcome)
    return outcome


@dataclass
class _Submissions:
    """All submissions of the files: registers by municipality; everything else by person."""

    registers: dict[str, ReferenceRegister] = field(default_factory=dict)
    enrolments: dict[str, list[Enrolment]] = field(default_factory=lambda: defaultdict(list))
    account_events: dict[str, list[AccountEvent]] = field(default_factory=lambda: defaultdict(list))
    entity_events: dict[str, EntityRegister] = field(default_factory=lambda: defaultdict(EntityRegister))


def _submit_all(
    files: Sequence[Path],
    outcome: Expected,
    progress: Callable[[str], None],
    receipt_of: ReceiptOf | None,
    received_on: str | DayOf | None,
) -> _Submissions:
    submissions, identities = _Submissions(), set[object]()
    for number, path in enumerate(files):
        progress(f"reading {path.name}")
        for read in read_submissions(path):
            source, line = read.source, read.line
            day = received_on(source, line) if callable(received_on) else received_on or ""
            submission = without_future(read, day) if day else read
            received = (number, line) if receipt_of is None else receipt_of(source, line)
            municipality = submission.submitter
            if municipality:
                register = submissions.registers.setdefault(municipality, ReferenceRegister(municipality))
                register.submit(submission, received, day)
            else:
                _submit_without_register(submission, identities, submissions, outcome, received)
    return submissions


def _submit_without_register(
    submission: Submission,
    identities: set[object],
    submissions: _Submissions,
    outcome: Expected,
    received: Receipt,
) -> None:
    """Accept or reject an enrolment or another event, or note it as a duplicate."""
    content, source, line = submission.content, submission.source, submission.line
    if submission.system is not None and not isinstance(content, Enrolment):
        _submit_entity_event(submission, submissions, outcome, received)
    elif submission.identity in identities:
        outcome.duplicates.append(ExpectedDuplicate(source, line, None))
    elif isinstance(content, Enrolment):
        submissions.enrolments[content.code].append(content)
    elif isinstance(content, AccountEvent):
        submissions.account_events[content.code].append(content)
    else:
        outcome.rejections.append(ExpectedRejection(source, line, None, submission.fault or ""))
    identities.add(submission.identity)


def _submit_entity_event(
    submission: Submission, submissions: _Submissions, outcome: Expected, received: Receipt
) -> None:
    content, source, line, number = (
        submission.content, submission.source, submission.line, submission.number
    )  # fmt: skip
    reasons = {submission.fault}
    if isinstance(content, EntityEvent):
        # Each person's history decides: it may know the number already, or not know what is taken back.
        events = replace(content, received=received).for_each()
        reasons = {submissions.entity_events[event.code].submit(event) for event in events}
    reason = next(iter(sorted(each for each in reasons if each and each != "duplicate")), None)
    if "duplicate" in reasons:
        outcome.duplicates.append(ExpectedDuplicate(source, line, number))
    if reason:
        outcome.rejections.append(ExpectedRejection(source, line, number, reason))
        outcome.rejected_events.add((submission.system or "", submission.part or "", number or ""))


def _add_register(register: ReferenceRegister, outcome: Expected) -> None:
    for submission, reason in register.rejections:
        outcome.rejections.append(
            ExpectedRejection(submission.source, submission.line, submission.number, reason)
        )
        if submission.reason == "取消" and submission.number:
            outcome.rejected_cancellations = sorted({*outcome.rejected_cancellations, submission.number})
    outcome.duplicates += [
        ExpectedDuplicate(duplicate.source, duplicate.line, duplicate.number)
        for duplicate in register.duplicates
    ]
    outcome.accepted.update(entry.notice.reason for entry in register.entries)


def _fold_all(submissions: _Submissions, outcome: Expected, today: str) -> None:
    """Fold each person's history and add what the domains must have about it."""
    entries_by_person: dict[str, list[AcceptedNotice]] = defaultdict(list)
    for register in submissions.registers.values():
        for entry in register.entries:
            for code in entry.persons:
                entries_by_person[code].append(entry)
    households: dict[str, list[str]] = defaultdict(list)
    codes = sorted(
        {
            *entries_by_person,
            *submissions.enrolments,
            *submissions.account_events,
            *submissions.entity_events,
        }
    )
    indices = {code: index for index, code in enumerate(codes)}
    for code, index in indices.items():
        entries = entries_by_person[code]
        notices = list(order_by_effect(_notices_in_effect(code, entries)))
        enrolments = submissions.enrolments.get(code, ())
        person = fold_until(today, notices, enrolments)
        _add_rows(index, person, outcome)
        days = [*(each.notice.effective_on for each in notices), *(each.since for each in enrolments)]
        _add_messages(
            index, entries, fold(notices, enrolments) if max(days, default="") > today else person, outcome
        )
        accounts = submissions.account_events.get(code, ())
        accounts = [each for each in accounts if each.effective_on <= today]
        _add_accounts(index, accounts, person, outcome)
        in_effect = [entry for entry in entries if entry.notice.effective_on <= today]
        cancelled = [(entry, code) for entry in in_effect if entry.cancelled_in_effect]
        life = life_of(person.days, cancelled)
        events = submissions.entity_events.get(code, EntityRegister())
        timelines = timelines_of(events, life, today, accounts_by_day(accounts, person.readings))
        readings = ReadingsOfPerson(life, timelines, person.open_rows, person.measure_ahead)
        for row in readings.rows(today):
            named = {name: row.columns[name] for name in row.refs}
            persons = {name: each and indices.get(each, UNKNOWN_PERSON) for name, each in named.items()}
            outcome.readings.setdefault(row.table, []).append({**row.columns, **persons})
            outcome.reading_persons.setdefault(row.table, []).append(index)
        outcome.events_without_effect |= {id_of(event) for event in without_effect(timelines)}
        _add_departure(person, entries, outcome, today)
        _add_to_households(person, households)
        outcome.conflicts.update(
            (enrolment.domain, enrolment.municipality, enrolment.since)
            for enrolment in person.conflicting_enrolments
        )
    outcome.households = sorted(sorted(members) for members in households.values())


def _add_departure(person: Person, entries: Iterable[AcceptedNotice], outcome: Expected, today: str) -> None:
    """Count a person who should be registered elsewhere, and isn't."""
    left = departed_from(person.days)
    if left is None or add_days(left[1], OVERDUE_AFTER_DAYS) > today:
        return
    said = [
        entry.notice
        for entry in entries
        if entry.notice.reason == "転出" and (entry.notice.municipality, entry.notice.effective_on) == left
    ]
    named = said[-1].moved_to if said and not person.protected else None
    outcome.departed[left[0], named, left[1]] += 1


def _notices_in_effect(code: str, entries: Iterable[AcceptedNotice]) -> Iterator[PersonalNotice]:
    """Yield the notices that affect the person: no cancellations, and of the cancelled ones moves out and deaths."""
    for entry in entries:
        taken_back = entry.cancelled_by.received if entry.cancelled_by else None
        if entry.notice.reason != "取消" and (taken_back is None or entry.notice.reason in LEAVING):
            yield PersonalNotice(entry.seq, entry.notice, entry.persons[code], entry.received, taken_back)


def _household_id(row: Row) -> str | None:
    return f"{row.municipality}/{row.facts['household']}" if row.municipality else None


def _add_rows(index: int, person: Person, outcome: Expected) -> None:
    for row in person.rows.values():
        visible = {
            **row.visible_columns(protected=person.protected),
            "roman": romanize(row.facts["kana"]),
        }
        columns = {name: visible[name] for name in COLUMNS if name in visible}
        outcome.rows.append(
            {"domain": row.domain, "municipality": row.municipality, "status": row.status, **columns}
        )
        outcome.details.append(RowDetail(index, row.effective_on, _household_id(row)))


def _add_messages(index: int, entries: Iterable[AcceptedNotice], person: Person, outcome: Expected) -> None:
    """Add a message per accepted notice after the day of enrolment, except those without a message."""
    since = person.in_portal_since
    if since is None:
        return
    notices = [entry.notice for entry in entries if entry.notice.reason not in WITHOUT_MESSAGE]
    messages = sorted(
        [notice.reason, notice.effective_on] for notice in notices if notice.effective_on > since
    )
    outcome.messages += len(messages)
    if messages:
        outcome.portal.append(messages)
        outcome.portal_persons.append(index)


def _add_accounts(index: int, events: Iterable[AccountEvent], person: Person, outcome: Expected) -> None:
    ledger = fold_account_events(events, person.readings)
    for row in account_rows(ledger, person):
        outcome.account_details.append(RowDetail(index, str(row.pop("effective_on"))))
        outcome.accounts.append(row)
    outcome.account_conflicts.update(ledger.conflicts.values())


def _sort(outcome: Expected) -> None:
    """Sort rows, accounts and messages by value, with the lists that belong to them by index.

    `households` are sorted already; `rejections` and `duplicates` keep the order of the files.
    """
    outcome.rows, outcome.details = _sorted_rows(outcome.rows, outcome.details)
    outcome.accounts, outcome.account_details = _sorted_rows(outcome.accounts, outcome.account_details)
    portal = sorted(zip(outcome.portal, outcome.portal_persons, strict=True))
    outcome.portal = [messages for messages, _ in portal]
    outcome.portal_persons = [person for _, person in portal]


def _sorted_rows(
    rows: list[dict[str, Any]], details: list[RowDetail]
) -> tuple[list[dict[str, Any]], list[RowDetail]]:
    pairs = sorted(
        zip(rows, details, strict=True),
        key=lambda pair: [str(value) for value in (*pair[0].values(), pair[1].person)],
    )
    return [row for row, _ in pairs], [detail for _, detail in pairs]


def _add_to_households(person: Person, households: dict[str, list[str]]) -> None:
    for row in person.rows.values():
        if row.domain == "local-tax" and row.status != "closed":
            households[_household_id(row) or ""].append(row.facts["name"] + row.facts["birth_date"])
