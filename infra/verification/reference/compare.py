"""What the stores hold against what they must hold, row by row; differences name no person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.verification.reference.reference_model import COLUMNS, Detail, Expected

#: A row as it is compared: domain, municipality, the columns, and the day of effect if stores give it.
Look = tuple[tuple[str, str | None], ...]

_ACCOUNT_COLUMNS = ("account", "holder_kana", "bank", "branch", "type", "number")


@dataclass(frozen=True)
class Actual:
    """What the stores hold.

    `rows`: one mapping per row of the tables `person`, with `domain` (`local-tax` or `local_tax`), `code` and
    the table's columns; `household_code` and `effective_on` are compared where they are there, columns that
    no rule gives (revisions) are not. `messages`: the rows of `portal.notice` (`code`, `reason`,
    `effective_on`). `refused`: numbers of the cancellations refused, None to leave them out. `accounts`: the
    rows of the tables `account`, with `domain`, None to leave them out.
    """

    rows: Sequence[Mapping[str, Any]]
    messages: Sequence[Mapping[str, Any]] = ()
    refused: Iterable[str] | None = None
    accounts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Difference:
    """One difference, told without personal data.

    `index` is a position in `Expected.rows` (kinds missing, differs, person-missing, household-missing) or in
    `Actual.rows` (the kinds unexpected); of the kinds account-… a position in `accounts`; -1 where no row is meant.
    `columns` names the columns that differ. account-owner-…: an account with other rows or messages beside it, under
    its code, than its person's.
    """

    domain: str
    municipality: str | None
    kind: str
    index: int = -1
    columns: tuple[str, ...] = ()


def compare(expected: Expected, actual: Actual) -> list[Difference]:
    """All differences; an empty list where the stores hold exactly what they must."""
    want, got = _both(expected.rows, expected.details, actual.rows, COLUMNS)
    persons = [str(detail.person) for detail in expected.details]
    households = [detail.household for detail in expected.details]
    return [
        *_rows(want, got),
        *_groups("person", want, persons, got, [row.get("code") for row in actual.rows]),
        *_groups("household", want, households, got, [row.get("household_code") for row in actual.rows]),
        *_portal(expected, actual),
        *_accounts(expected, actual, want, got),
        *_refused(expected, actual),
    ]


def _both(
    rows: Sequence[Mapping[str, Any]],
    details: Sequence[Detail],
    actual: Sequence[Mapping[str, Any]],
    columns: tuple[str, ...],
) -> tuple[list[Look], list[Look]]:
    """Rows as they must be and as they are; with the day of effect where all that are there have it."""
    compared = ("municipality", "status", *columns)
    if all("effective_on" in row for row in actual):
        compared = (*compared, "effective_on")
    dated = zip(rows, details, strict=True)
    want = [_look({**row, "effective_on": detail.effective_on}, compared) for row, detail in dated]
    return want, [_look(row, compared) for row in actual]


def _look(row: Mapping[str, Any], names: tuple[str, ...]) -> Look:
    domain = str(row["domain"]).replace("_", "-")
    return (
        ("domain", domain),
        *((name, None if row[name] is None else str(row[name])) for name in names if name in row),
        *((("municipality", None),) if "municipality" not in row else ()),
    )


def _place(look: Look) -> tuple[str, str | None]:
    columns = dict(look)
    return str(columns["domain"]), columns["municipality"]


def _comparable(look: Look) -> Look:
    return tuple(sorted(look, key=lambda item: item[0]))


def _rows(want: Sequence[Look], got: Sequence[Look], kind: str = "") -> Iterator[Difference]:
    """Rows without an equal on the other side; two that mean the same person are one difference."""
    missing, unexpected = _unmatched(want, got), _unmatched(got, want)
    by_person: dict[object, list[int]] = defaultdict(list)
    for index in unexpected:
        by_person[_means(got[index])].append(index)
    for index in missing:
        others = by_person[_means(want[index])]
        if others:
            columns = _differing(want[index], got[others.pop()])
            yield Difference(*_place(want[index]), f"{kind}differs", index, columns)
        else:
            yield Difference(*_place(want[index]), f"{kind}missing", index)
    for index in sorted(index for others in by_person.values() for index in others):
        yield Difference(*_place(got[index]), f"{kind}unexpected", index)


def _unmatched(looks: Sequence[Look], others: Sequence[Look]) -> list[int]:
    left = Counter(_comparable(look) for look in others)
    unmatched = []
    for index, look in enumerate(looks):
        key = _comparable(look)
        if left[key]:
            left[key] -= 1
        else:
            unmatched.append(index)
    return unmatched


def _means(look: Look) -> object:
    columns = dict(look)
    return *_place(look), columns.get("kana", columns.get("holder_kana")), columns.get("birth_date")


def _differing(one: Look, other: Look) -> tuple[str, ...]:
    first, second = dict(one), dict(other)
    return tuple(name for name in sorted({*first, *second}) if first.get(name, "") != second.get(name, ""))


def _groups(
    kind: str,
    want: Sequence[Look],
    wanted: Sequence[str | None],
    got: Sequence[Look],
    given: Sequence[str | None],
) -> Iterator[Difference]:
    """Which rows of a domain go together: those of one person, those of one household."""
    if all(group is None for group in given):
        return
    should, does = _grouped(want, wanted), _grouped(got, given)
    for members, first in _surplus(should, does):
        yield Difference(*_place(members[0]), f"{kind}-missing", first)
    for members, first in _surplus(does, should):
        yield Difference(*_place(members[0]), f"{kind}-unexpected", first)


Grouped = list[tuple[tuple[Look, ...], int]]


def _grouped(looks: Sequence[Look], groups: Sequence[str | None]) -> Grouped:
    members: dict[tuple[str, str], list[tuple[Look, int]]] = defaultdict(list)
    for index, (look, group) in enumerate(zip(looks, groups, strict=True)):
        if group is not None:
            members[_place(look)[0], group].append((_comparable(look), index))
    return [(tuple(sorted((look for look, _ in group), key=str)), group[0][1]) for group in members.values()]


def _surplus(these: Grouped, others: Grouped) -> Iterator[tuple[tuple[Look, ...], int]]:
    left = Counter(members for members, _ in others)
    for members, first in these:
        if left[members]:
            left[members] -= 1
        else:
            yield members, first


def _portal(expected: Expected, actual: Actual) -> Iterator[Difference]:
    """Messages, those of one resident together."""
    of_code: dict[object, list[list[str]]] = defaultdict(list)
    for message in actual.messages:
        of_code[message["code"]].append([str(message["reason"]), str(message["effective_on"])])
    should = Counter(str(messages) for messages in expected.portal)
    does = Counter(str(sorted(messages)) for messages in of_code.values())
    yield from [Difference("portal", None, "messages-missing")] * (should - does).total()
    yield from [Difference("portal", None, "messages-unexpected")] * (does - should).total()


def _accounts(
    expected: Expected, actual: Actual, want_rows: Sequence[Look], got_rows: Sequence[Look]
) -> Iterator[Difference]:
    """The accounts themselves, and whose they are: what else the domain has under the same code."""
    if actual.accounts is None:
        return
    want, got = _both(expected.accounts, expected.account_details, actual.accounts, _ACCOUNT_COLUMNS)
    yield from _rows(want, got, "account-")
    persons = [detail.person for detail in expected.details]
    told = zip(expected.portal_persons, expected.portal, strict=True)
    sent = [(person, message) for person, messages in told for message in messages]
    should = _beside(want, [it.person for it in expected.account_details], want_rows, persons, sent)
    received = [(it["code"], [str(it["reason"]), str(it["effective_on"])]) for it in actual.messages]
    codes = [row.get("code") for row in actual.rows]
    does = _beside(got, [row["code"] for row in actual.accounts], got_rows, codes, received)
    for _, first in _surplus(should, does):
        yield Difference(*_place(want[first]), "account-owner-missing", first)
    for _, first in _surplus(does, should):
        yield Difference(*_place(got[first]), "account-owner-unexpected", first)


def _beside(
    accounts: Sequence[Look],
    owners: Sequence[object],
    rows: Sequence[Look],
    persons: Sequence[object],
    messages: Iterable[tuple[object, list[str]]],
) -> Grouped:
    """Each account with the rows that its domain has of the same person, the portal's with their messages."""
    found: dict[tuple[str, object], list[Look]] = defaultdict(list)
    for look, person in zip(rows, persons, strict=True):
        found[_place(look)[0], person].append(_comparable(look))
    for person, (reason, day) in messages:
        found["portal", person].append((("reason", reason), ("effective_on", day)))
    return [
        ((_comparable(look), *sorted(found[_place(look)[0], owner], key=str)), index)
        for index, (look, owner) in enumerate(zip(accounts, owners, strict=True))
    ]


def _refused(expected: Expected, actual: Actual) -> Iterator[Difference]:
    if actual.refused is None:
        return
    should, does = set(expected.refused), set(actual.refused)
    yield from [Difference("juki", None, "refusal-missing")] * len(should - does)
    yield from [Difference("juki", None, "refusal-unexpected")] * len(does - should)
