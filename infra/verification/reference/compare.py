"""Comparison of the stores' rows with the expected ones. Differences contain no personal data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from infra.verification.reference.reference_model import COLUMNS, Expected, RowDetail
from schemas.systems import DOMAINS

#: A row reduced to what is compared: domain, municipality, columns, and the day of effect if the stores' rows have it.
ComparedRow = tuple[tuple[str, str | None], ...]
#: Groups of rows that belong together, such as a person's, each with the index of its first row.
RowGroups = list[tuple[tuple[ComparedRow, ...], int]]

#: System, municipality ("" if national) and number of an event.
EventName = tuple[str, str, str]

_ACCOUNT_COLUMNS = ("account", "holder_kana", "bank", "branch", "type", "number")


@dataclass(frozen=True)
class Actual:
    """What the stores contain.

    - `rows`: rows of the tables `person`, with `domain` (`local-tax` or `local_tax`), `code` and the table's columns.
      `household_code` and `effective_on` are compared if present; columns that no rule determines, such as revisions,
      are not.
    - `messages`: rows of `portal.notice` (`code`, `reason`, `effective_on`).
    - `rejected_cancellations`: notice numbers; None excludes them from the comparison.
    - `accounts`: rows of the tables `account`, with `domain`; None excludes them.
    - `readings`: rows of the tables of declared readings, by table with its schema (`card.card`); None excludes them.
    - `rejected_events`, `events_without_effect`: of systems with entities, as in `Expected`; None excludes them.
    """

    rows: Sequence[Mapping[str, Any]]
    messages: Sequence[Mapping[str, Any]] = ()
    rejected_cancellations: Iterable[str] | None = None
    accounts: Sequence[Mapping[str, Any]] | None = None
    readings: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    rejected_events: Set[EventName] | None = None
    events_without_effect: Set[EventName] | None = None


@dataclass(frozen=True)
class Difference:
    """One difference, without personal data.

    `index` is an index into `Expected.rows` (kinds missing, differs, person-missing, household-missing) or into
    `Actual.rows` (kinds ending in unexpected); of kinds account-…, an index into `accounts`; -1 if no row is concerned.
    `columns` are the names of the columns that differ. Kinds person-… and household-… are about rows grouped by code;
    kinds account-owner-… are about an account whose code has other rows or messages than those of its person. Of kinds
    reading-… the domain is the table, and reading-owner-… is about a person with other rows in the readings of a store
    than under any code. Kinds event-… are about the rejections and the events without effect of a system.
    """

    domain: str
    municipality: str | None
    kind: str
    index: int = -1
    columns: tuple[str, ...] = ()


def compare(expected: Expected, actual: Actual) -> list[Difference]:
    """Return all differences between the expected and the actual contents of the stores."""
    expected_rows, actual_rows = _compared_rows(expected.rows, expected.details, actual.rows, COLUMNS)
    persons = [str(detail.person) for detail in expected.details]
    codes = [row.get("code") for row in actual.rows]
    households = [detail.household for detail in expected.details]
    household_codes = [row.get("household_code") for row in actual.rows]
    return [
        *_compare_rows(expected_rows, actual_rows),
        *_compare_groups("person", expected_rows, persons, actual_rows, codes),
        *_compare_groups("household", expected_rows, households, actual_rows, household_codes),
        *_compare_messages(expected, actual),
        *_compare_accounts(expected, actual, expected_rows, actual_rows),
        *_compare_rejected_cancellations(expected, actual),
        *_compare_readings(expected, actual, expected_rows, actual_rows),
        *_compare_events("event-rejection", expected.rejected_events, actual.rejected_events),
        *_compare_events(
            "event-without-effect", expected.events_without_effect, actual.events_without_effect
        ),
    ]


def _compared_rows(
    expected: Sequence[Mapping[str, Any]],
    details: Sequence[RowDetail],
    actual: Sequence[Mapping[str, Any]],
    columns: tuple[str, ...],
) -> tuple[list[ComparedRow], list[ComparedRow]]:
    """Return the expected and the actual rows, with the day of effect if all actual rows have it."""
    names = ("municipality", "status", *columns)
    if all("effective_on" in row for row in actual):
        names = (*names, "effective_on")
    dated_rows = [
        {**row, "effective_on": detail.effective_on} for row, detail in zip(expected, details, strict=True)
    ]
    return [_compared_row(row, names) for row in dated_rows], [_compared_row(row, names) for row in actual]


def _compared_row(row: Mapping[str, Any], names: Sequence[str]) -> ComparedRow:
    domain = str(row["domain"]).replace("_", "-")
    return (
        ("domain", domain),
        *((name, None if row[name] is None else str(row[name])) for name in names if name in row),
        *((("municipality", None),) if "municipality" not in row else ()),
    )


def _domain_and_municipality(row: ComparedRow) -> tuple[str, str | None]:
    columns = dict(row)
    return str(columns["domain"]), columns["municipality"]


def _sorted_columns(row: ComparedRow) -> ComparedRow:
    return tuple(sorted(row, key=lambda column: column[0]))


def _compare_rows(
    expected: Sequence[ComparedRow], actual: Sequence[ComparedRow], kind_prefix: str = ""
) -> Iterator[Difference]:
    """Yield the rows without an equal row on the other side; two such rows of one person are one difference."""
    missing, unexpected = _unmatched(expected, actual), _unmatched(actual, expected)
    unexpected_by_person: dict[object, list[int]] = defaultdict(list)
    for index in unexpected:
        unexpected_by_person[_person_key(actual[index])].append(index)
    for index in missing:
        row = expected[index]
        candidates = unexpected_by_person[_person_key(row)]
        if candidates:
            columns = _differing_columns(row, actual[candidates.pop()])
            yield Difference(*_domain_and_municipality(row), f"{kind_prefix}differs", index, columns)
        else:
            yield Difference(*_domain_and_municipality(row), f"{kind_prefix}missing", index)
    for index in sorted(index for indices in unexpected_by_person.values() for index in indices):
        yield Difference(*_domain_and_municipality(actual[index]), f"{kind_prefix}unexpected", index)


def _unmatched(rows: Sequence[ComparedRow], others: Sequence[ComparedRow]) -> list[int]:
    """Return the indices of the rows without an equal row among `others`; each of these matches one row."""
    available = Counter(_sorted_columns(row) for row in others)
    unmatched = []
    for index, row in enumerate(rows):
        key = _sorted_columns(row)
        if available[key]:
            available[key] -= 1
        else:
            unmatched.append(index)
    return unmatched


def _person_key(row: ComparedRow) -> object:
    """Return domain, municipality, reading and birth date, by which a missing and an unexpected row are paired."""
    columns = dict(row)
    reading = columns.get("kana", columns.get("holder_kana"))
    return *_domain_and_municipality(row), reading, columns.get("birth_date")


def _differing_columns(one: ComparedRow, other: ComparedRow) -> tuple[str, ...]:
    first, second = dict(one), dict(other)
    return tuple(name for name in sorted({*first, *second}) if first.get(name, "") != second.get(name, ""))


def _compare_groups(
    kind: str,
    expected: Sequence[ComparedRow],
    expected_keys: Sequence[str | None],
    actual: Sequence[ComparedRow],
    actual_keys: Sequence[str | None],
) -> Iterator[Difference]:
    """Yield the differences in how the rows of a domain are grouped by person or by household.

    The keys themselves differ (an index here, a domain code there): only the groups' rows are compared.
    """
    if all(key is None for key in actual_keys):
        return
    expected_groups, actual_groups = _group(expected, expected_keys), _group(actual, actual_keys)
    for rows, index in _without_match(expected_groups, actual_groups):
        yield Difference(*_domain_and_municipality(rows[0]), f"{kind}-missing", index)
    for rows, index in _without_match(actual_groups, expected_groups):
        yield Difference(*_domain_and_municipality(rows[0]), f"{kind}-unexpected", index)


def _group(rows: Sequence[ComparedRow], keys: Sequence[str | None]) -> RowGroups:
    groups: dict[tuple[str, str], list[tuple[ComparedRow, int]]] = defaultdict(list)
    for index, (row, key) in enumerate(zip(rows, keys, strict=True)):
        if key is not None:
            groups[_domain_and_municipality(row)[0], key].append((_sorted_columns(row), index))
    return [(tuple(sorted((row for row, _ in group), key=str)), group[0][1]) for group in groups.values()]


def _without_match(groups: RowGroups, others: RowGroups) -> Iterator[tuple[tuple[ComparedRow, ...], int]]:
    available = Counter(rows for rows, _ in others)
    for rows, index in groups:
        if available[rows]:
            available[rows] -= 1
        else:
            yield rows, index


def _compare_messages(expected: Expected, actual: Actual) -> Iterator[Difference]:
    """Yield the differences in messages, compared per resident."""
    messages_by_code: dict[object, list[list[str]]] = defaultdict(list)
    for message in actual.messages:
        messages_by_code[message["code"]].append([str(message["reason"]), str(message["effective_on"])])
    expected_messages = Counter(str(messages) for messages in expected.portal)
    actual_messages = Counter(str(sorted(messages)) for messages in messages_by_code.values())
    missing, unexpected = expected_messages - actual_messages, actual_messages - expected_messages
    yield from [Difference("portal", None, "messages-missing")] * missing.total()
    yield from [Difference("portal", None, "messages-unexpected")] * unexpected.total()


def _compare_accounts(
    expected: Expected,
    actual: Actual,
    expected_rows: Sequence[ComparedRow],
    actual_rows: Sequence[ComparedRow],
) -> Iterator[Difference]:
    """Yield the differences in the accounts and in their owners.

    An account's owner is recognized by the other rows and messages that the domain has under the same code.
    """
    if actual.accounts is None:
        return
    expected_accounts, actual_accounts = _compared_rows(
        expected.accounts, expected.account_details, actual.accounts, _ACCOUNT_COLUMNS
    )
    yield from _compare_rows(expected_accounts, actual_accounts, "account-")
    expected_groups = _with_owners_rows(
        expected_accounts,
        [detail.person for detail in expected.account_details],
        expected_rows,
        [detail.person for detail in expected.details],
        [
            (person, message)
            for person, messages in zip(expected.portal_persons, expected.portal, strict=True)
            for message in messages
        ],
    )
    actual_groups = _with_owners_rows(
        actual_accounts,
        [row["code"] for row in actual.accounts],
        actual_rows,
        [row.get("code") for row in actual.rows],
        [(row["code"], [str(row["reason"]), str(row["effective_on"])]) for row in actual.messages],
    )
    for _, index in _without_match(expected_groups, actual_groups):
        domain, municipality = _domain_and_municipality(expected_accounts[index])
        yield Difference(domain, municipality, "account-owner-missing", index)
    for _, index in _without_match(actual_groups, expected_groups):
        domain, municipality = _domain_and_municipality(actual_accounts[index])
        yield Difference(domain, municipality, "account-owner-unexpected", index)


def _with_owners_rows(
    accounts: Sequence[ComparedRow],
    owners: Sequence[object],
    rows: Sequence[ComparedRow],
    persons: Sequence[object],
    messages: Iterable[tuple[object, list[str]]],
) -> RowGroups:
    """Return each account with its domain's rows of the same person, and with the messages if it is the portal's.

    `owners[i]` is the person of `accounts[i]`, `persons[i]` of `rows[i]`; a message is person, reason and day.
    """
    rows_by_person: dict[tuple[str, object], list[ComparedRow]] = defaultdict(list)
    for row, person in zip(rows, persons, strict=True):
        rows_by_person[_domain_and_municipality(row)[0], person].append(_sorted_columns(row))
    for person, (reason, day) in messages:
        rows_by_person["portal", person].append((("reason", reason), ("effective_on", day)))
    groups: RowGroups = []
    for index, (account, owner) in enumerate(zip(accounts, owners, strict=True)):
        owners_rows = rows_by_person[_domain_and_municipality(account)[0], owner]
        groups.append(((_sorted_columns(account), *sorted(owners_rows, key=str)), index))
    return groups


def _compare_rejected_cancellations(expected: Expected, actual: Actual) -> Iterator[Difference]:
    if actual.rejected_cancellations is None:
        return
    expected_numbers, actual_numbers = (
        set(expected.rejected_cancellations),
        set(actual.rejected_cancellations),
    )
    missing, unexpected = expected_numbers - actual_numbers, actual_numbers - expected_numbers
    yield from [Difference("juki", None, "rejection-missing")] * len(missing)
    yield from [Difference("juki", None, "rejection-unexpected")] * len(unexpected)


# -- declared readings


def _compare_readings(
    expected: Expected,
    actual: Actual,
    expected_persons: Sequence[ComparedRow],
    actual_persons: Sequence[ComparedRow],
) -> Iterator[Difference]:
    """Yield the differences table by table, then those in which rows of a store belong to one person.

    A person's rows in the store's readings belong with that person's rows in the store's table `person`.
    """
    if actual.readings is None:
        return
    expected_owned = _owned(expected_persons, [detail.person for detail in expected.details])
    actual_owned = _owned(actual_persons, [row.get("code") for row in actual.rows])
    expected_of_readings: Owned = defaultdict(list)
    actual_of_readings: Owned = defaultdict(list)
    for table in sorted({*expected.readings, *actual.readings}):
        expected_rows = _with_named_persons(
            table, expected.readings.get(table, ()), expected.reading_persons.get(table, ())
        )
        codes = [row["code"] for row in actual.readings.get(table, ())]
        actual_rows = _with_named_persons(table, actual.readings.get(table, ()), codes)
        names = sorted({"municipality", "status", *(name for row in expected_rows for name in row)})
        should_be = [_reading_row(table, row, names) for row in expected_rows]
        found = [_reading_row(table, row, names) for row in actual_rows]
        yield from _compare_rows(should_be, found, "reading-")
        for row, person in zip(should_be, expected.reading_persons.get(table, ()), strict=True):
            expected_of_readings[_store(table), person].append(row)
        for row, stored in zip(found, actual_rows, strict=True):
            actual_of_readings[_store(table), stored["code"]].append(row)
    groups = _groups(expected_of_readings, expected_owned), _groups(actual_of_readings, actual_owned)
    for kind, (some, others) in zip(("missing", "unexpected"), (groups, groups[::-1]), strict=True):
        for rows, _ in _without_match(some, others):
            yield Difference(*_domain_and_municipality(rows[0]), f"reading-owner-{kind}")


def _with_named_persons(
    table: str, rows: Sequence[Mapping[str, Any]], persons: Sequence[object]
) -> list[Mapping[str, Any]]:
    """Return the rows of a table with that person's rows in place of a code, or index, that names another person.

    By them one can see who it is, without knowing codes.
    """
    store, _, name = table.partition(".")
    domain = next(each for each in DOMAINS.values() if each.schema_name == store)
    reads = domain.reading(name)
    refs = [each.name for each in reads.fields if each.is_person_ref] if reads else []
    if not refs:
        return list(rows)
    of_person: dict[object, list[str]] = defaultdict(list)
    hidden = {*refs, "code", "revision"}
    for row, person in zip(rows, persons, strict=True):
        shown = {column: str(value) for column, value in row.items() if column not in hidden}
        of_person[person].append(str(sorted(shown.items())))
    return [{**row, **{ref: _named(row[ref], of_person) for ref in refs}} for row in rows]


def _named(person: object, rows_of: Mapping[object, Sequence[str]]) -> str | None:
    return None if person is None else "; ".join(sorted(rows_of.get(person, ())))


#: Rows by store and person: an index here, a domain code there.
Owned = defaultdict[tuple[str, object], list[ComparedRow]]


def _owned(rows: Sequence[ComparedRow], persons: Sequence[object]) -> Owned:
    owned: Owned = defaultdict(list)
    for row, person in zip(rows, persons, strict=True):
        owned[_store(_domain_and_municipality(row)[0]), person].append(_sorted_columns(row))
    return owned


def _groups(of_readings: Owned, of_persons: Owned) -> RowGroups:
    """Return for each person the rows of readings, then those of table `person`."""
    return [
        ((*sorted(rows, key=str), *sorted(of_persons.get(owner, ()), key=str)), -1)
        for owner, rows in of_readings.items()
    ]


def _store(domain_or_table: str) -> str:
    return domain_or_table.partition(".")[0].replace("_", "-")


def _reading_row(table: str, row: Mapping[str, Any], names: Sequence[str]) -> ComparedRow:
    return _compared_row({"municipality": None, **row, "domain": table}, names)


def _compare_events(
    kind: str, expected: Set[EventName], actual: Set[EventName] | None
) -> Iterator[Difference]:
    if actual is None:
        return
    for end, events in (("missing", expected - actual), ("unexpected", actual - expected)):
        for system, municipality, _ in sorted(events):
            yield Difference(system, municipality or None, f"{kind}-{end}")
