"""The history of a person's rows: what each row was from a day on, and from which day on that was known.

A history only grows. Its row (row of the person, `effective_on`, `known_from`) says: as known from `known_from` on, the
row of the person was this from `effective_on` on, until a later day has another row. A retracted one says that nothing
begins on its day any more. So the row of a day as known on a day is the latest one that isn't retracted, by what was
known latest of each day, and a notice that is the last in every respect adds nothing but its own row.

Which rows there are follows from the entries and the days on which they are known, not from their order of arrival.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import product
from typing import Final, NamedTuple

from processors.fan_out.differences import Difference, visible_facts
from processors.fan_out.domains import DOMAIN_ORDER
from processors.fan_out.fold import RowVersions, fold_with_versions
from processors.fan_out.history import (
    AccountEvent,
    Enrolment,
    Facts,
    History,
    PersonNotice,
    Settlement,
    known_on,
)
from processors.fan_out.messages import ResidentMessage
from processors.fan_out.person import Applied, Entry, PersonAggregate, ReadArchive
from processors.fan_out.person_state import PersonState, RowKey
from schemas.systems import DOMAINS

#: The domains whose stores have a history of the rows of persons.
WITH_HISTORY: Final = frozenset(domain.id for domain in DOMAINS.values() if domain.has_history)

RETRACTED: Final = "retracted"

#: What rows of persons follow from.
RowEntry = PersonNotice | Enrolment | Settlement


class HistoryId(NamedTuple):
    """A row of the history of a row."""

    key: RowKey
    effective_on: date
    known_from: date


class RowVersion(NamedTuple):
    """What a domain sees of a row from a day on; without facts if it is retracted."""

    status: str
    facts: Facts | None


class HistoryDifference(NamedTuple):
    """A row of a history: to be upserted, or deleted (`version` is None)."""

    id: HistoryId
    version: RowVersion | None


class AppliedToRows(NamedTuple):
    """What an entry does beside what differs between the states before and after it: messages, and histories.

    `known_from` is the day since which it is known, None if it changes no history. If `history` is None, each row that
    differs is one of its history too, and nothing else changes in histories; otherwise it has what differs in them.
    `deleted_on` is the day of rows that are deleted, if that isn't the day of the record.
    """

    messages: Sequence[ResidentMessage] = ()
    known_from: date | None = None
    history: Sequence[HistoryDifference] | None = ()
    deleted_on: date | None = None


class HistoryOfRecord:
    """The rows of histories that a record has to publish: as many as possible go with the rows of the person.

    `deleted_on` is the day of rows of the person that are deleted.
    """

    def __init__(self, applied: AppliedToRows, deleted_on: date) -> None:
        self.deleted_on = applied.deleted_on or deleted_on
        self._known_from, self._with_rows = applied.known_from, applied.history is None
        self._rows = dict(applied.history or ())

    def known_from(self, difference: Difference, status: str, facts: Facts) -> date | None:
        """Return since when the row of a difference is known if it is one of the history too, otherwise None."""
        row, key = difference.row, difference.key
        if row is None or self._known_from is None or key[0] not in WITH_HISTORY:
            return None
        if self._with_rows:
            return self._known_from
        id_ = HistoryId(key, row.effective_on, self._known_from)
        if self._rows.get(id_) != RowVersion(status, facts):
            return None
        del self._rows[id_]
        return self._known_from

    def rest(self) -> Iterator[HistoryDifference]:
        """Yield the rows that go by themselves."""
        yield from (HistoryDifference(*item) for item in self._rows.items())


#: What each row was from a day on.
_Versions = Mapping[tuple[RowKey, date], RowVersion]
_NOTHING_BEGINS: Final = RowVersion(RETRACTED, None)


def applied_to_rows(
    entry: Entry, applied: Applied, person: PersonAggregate, before: PersonState, read_archive: ReadArchive
) -> AppliedToRows:
    """Return what an entry that was applied to a person, or waits, does beside what differs between the states.

    Rows show the address of somebody who was protected once the measure has ended, but the history never does.
    """
    hid_address, hides_address = before.ever_protected, person.state.ever_protected
    if isinstance(entry, AccountEvent) or person.state is before or not WITH_HISTORY:
        return AppliedToRows(applied.messages)
    if applied.is_last and not hides_address:
        return AppliedToRows(applied.messages, known_on(entry), None)
    entries, versions = person.row_entries(read_archive), applied.versions
    history = history_differences(
        entries, entry, versions, hid_address=hid_address, hides_address=hides_address
    )
    return AppliedToRows(applied.messages, known_on(entry), history)


def row_history(entries: Iterable[RowEntry], *, hides_address: bool) -> dict[HistoryId, RowVersion]:
    """Return the history of all rows. Nobody who is or was protected has an address in it (`hides_address`)."""
    return _rows([(known_on(entry), entry) for entry in entries], {}, date.min, hides_address)


def whole_history(
    person: PersonAggregate, read_archive: ReadArchive, domains: Collection[str], *, replaces: bool
) -> list[HistoryDifference]:
    """Return all rows of a person's histories in some domains, and note in the person that they are published.

    If that `replaces` histories by other rules, of which nothing is kept, delete every row that they may have had.
    """
    entries = person.row_entries(read_archive)
    person.known_until = max(map(known_on, entries))
    rows = row_history(entries, hides_address=person.state.ever_protected)
    found: dict[HistoryId, RowVersion | None] = {}
    if replaces:
        keys = {id_.key for id_ in rows}
        days = {entry.since if isinstance(entry, Enrolment) else _day(entry) for entry in entries}
        known = {known_on(entry) for entry in entries}
        found |= {HistoryId(*each): None for each in product(keys, days, known)}
    found |= rows
    return [HistoryDifference(id_, found[id_]) for id_ in sorted(found, key=_order) if id_.key[0] in domains]


def history_differences(
    entries: Sequence[RowEntry],
    added: RowEntry,
    versions: RowVersions | None,
    *,
    hid_address: bool,
    hides_address: bool,
) -> list[HistoryDifference]:
    """Return in which rows the history of `entries` differs from the one without the entry that was added to them.

    `versions` is what the rows were by all entries, None if it must be found out. `hid_address` and `hides_address` are
    whether no address may be shown, before and now.
    """
    dated = [(known_on(entry), entry) for entry in entries]
    # Up to the day before, the same was known; unless addresses have to go.
    first = known_on(added) if hid_address == hides_address else date.min
    known = _versions([entry for day, entry in dated if day < first], hides_address)
    before = _rows([each for each in dated if each[1] is not added], known, first, hid_address)
    seen = None if versions is None else _seen(versions, hides_address)
    after = _rows(dated, known, first, hides_address, seen)
    differing = [id_ for id_ in {**before, **after} if before.get(id_) != after.get(id_)]
    return [HistoryDifference(id_, after.get(id_)) for id_ in sorted(differing, key=_order)]


def _day(entry: PersonNotice | Settlement) -> date:
    """Return a day on which rows may become others by an entry; of a settlement, any: the days of notices count."""
    return entry.effective_on if isinstance(entry, PersonNotice) else known_on(entry)


def _order(id_: HistoryId) -> tuple[int, str, date, date]:
    (domain, municipality), effective_on, known_from = id_
    return DOMAIN_ORDER[domain], municipality or "", effective_on, known_from


def _rows(
    dated: Sequence[tuple[date, RowEntry]],
    known: _Versions,
    first: date,
    hides_address: bool,
    known_at_last: _Versions | None = None,
) -> dict[HistoryId, RowVersion]:
    """Return the rows that are known from the day `first` on or later.

    `known` is what was known before, `known_at_last` what is known by all entries; None if it must be found out.
    """
    rows: dict[HistoryId, RowVersion] = {}
    days = sorted({each for each, _ in dated if each >= first})
    for day in days:
        if known_at_last is not None and day == days[-1]:
            versions = known_at_last
        else:
            versions = _versions([entry for each, entry in dated if each <= day], hides_address)
        for of_row in {**known, **versions}:
            version = versions.get(of_row, _NOTHING_BEGINS)
            if known.get(of_row) != version:
                rows[HistoryId(*of_row, day)] = version
        known = versions
    return rows


def _versions(entries: Sequence[RowEntry], hides_address: bool) -> _Versions:
    """Return what the domains see of each row from each of its days of effect on, by these entries."""
    if not entries:
        return {}
    notices, enrolments, settlements = list[PersonNotice](), list[Enrolment](), list[Settlement]()
    for entry in entries:
        if isinstance(entry, PersonNotice):
            notices.append(entry)
        elif isinstance(entry, Enrolment):
            enrolments.append(entry)
        else:
            settlements.append(entry)
    history = History(tuple(notices), tuple(enrolments), settlements=tuple(settlements))
    return _seen(fold_with_versions(history)[1], hides_address)


def _seen(versions: RowVersions, hides_address: bool) -> _Versions:
    return {
        (key, day): RowVersion(row.status, visible_facts(key[0], row, protected=hides_address))
        for (key, day), row in versions.items()
        if key[0] in WITH_HISTORY
    }
