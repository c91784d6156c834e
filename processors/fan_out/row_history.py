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
    cancellations_of,
    known_on,
)
from processors.fan_out.messages import ResidentMessage
from processors.fan_out.person import Applied, Entry, PersonAggregate, ReadArchive
from processors.fan_out.person_state import PersonState, RowKey
from schemas.reasons import Reason
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


class HidesAddress(NamedTuple):
    """Whether a history may show no address, without an entry and with it."""

    before: bool
    after: bool


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
    hides_address = HidesAddress(before.ever_protected, person.state.ever_protected)
    # While a measure is in force, rows show as little as the history.
    shows_less = hides_address.after and not (before.protected and person.state.protected)
    if isinstance(entry, AccountEvent) or person.state is before or not WITH_HISTORY:
        return AppliedToRows(applied.messages)
    if applied.is_last and not shows_less and not _was_otherwise_known(entry, before, person):
        return AppliedToRows(applied.messages, known_on(entry), None)
    history = history_differences(
        person.row_entries(read_archive),
        entry,
        before,
        applied.versions,
        hides_address,
    )
    return AppliedToRows(applied.messages, known_on(entry), history)


def _was_otherwise_known(entry: RowEntry, before: PersonState, person: PersonAggregate) -> bool:
    """Return whether rows of the last day become others again, of which something was known on an earlier day.

    Then they may be again what they were known to be, as if nothing had been known in between.
    """
    day, known_from, rows = _day(entry), known_on(entry), person.state.rows
    if before.last_day != day or all(
        row.effective_on != day or rows.get(key) is row for key, row in before.rows.items()
    ):
        return False
    entries: list[RowEntry] = [*person.notices, *person.enrolments]
    return any(_day(each) == day and known_on(each) < known_from for each in entries)


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
        days = set(map(_day, entries))
        known = {known_on(entry) for entry in entries}
        found |= {HistoryId(*each): None for each in product(keys, days, known)}
    found |= rows
    return [HistoryDifference(id_, found[id_]) for id_ in sorted(found, key=_order) if id_.key[0] in domains]


def history_differences(
    entries: Sequence[RowEntry],
    added: RowEntry,
    before: PersonState,
    versions: RowVersions | None,
    hides_address: HidesAddress,
) -> list[HistoryDifference]:
    """Return in which rows the history of `entries` differs from the one without the entry that was added to them.

    `before` is the state before the entry. `versions` is what the rows were by all entries, None if it must be found
    out.
    """
    if versions is not None and not any(hides_address):
        recent = _recent_differences(entries, added, before, versions)
        if recent is not None:
            return recent
    return _all_differences(entries, added, versions, hides_address)


def _all_differences(
    entries: Sequence[RowEntry],
    added: RowEntry,
    versions: RowVersions | None,
    hides_address: HidesAddress,
) -> list[HistoryDifference]:
    """Do the same by folding what was known on each day."""
    dated = [(known_on(entry), entry) for entry in entries]
    # Up to the day before, the same was known; unless addresses have to go.
    first = known_on(added) if hides_address.before == hides_address.after else date.min
    known = _versions([entry for day, entry in dated if day < first], hides_address.after)
    old = _rows([each for each in dated if each[1] is not added], known, first, hides_address.before)
    seen = None if versions is None else _seen(versions, hides_address.after)
    new = _rows(dated, known, first, hides_address.after, seen)
    differing = [id_ for id_ in {**old, **new} if old.get(id_) != new.get(id_)]
    return [HistoryDifference(id_, new.get(id_)) for id_ in sorted(differing, key=_order)]


def _recent_differences(
    entries: Sequence[RowEntry], added: RowEntry, before: PersonState, versions: RowVersions
) -> list[HistoryDifference] | None:
    """Return what `history_differences` returns if an entry changes little of what was known; otherwise None.

    That is so if at most one day in the order of effect comes after it, and if everything else was known before it or
    on the same day. So it is for most entries that aren't the last, and saves folding all others. `before` is the state
    before the entry, of somebody who never was protected.
    """
    since, known_from = _changes_since(entries, added), known_on(added)
    others = [entry for entry in entries if entry is not added]
    known = {known_on(entry) for entry in others}
    days = {_day(entry) for entry in others}
    if since is None or len([day for day in days if day >= since]) > 1:
        return None
    if known != {known_from} and max(known, default=date.min) >= known_from:
        return None
    old = _seen({(key, row.effective_on): row for key, row in before.rows.items()}, hides_address=False)
    new = _seen({of_row: row for of_row, row in versions.items() if of_row[1] >= since}, hides_address=False)
    gone = None if known == {known_from} else _NOTHING_BEGINS
    differing = [
        HistoryId(*of_row, known_from)
        for of_row in {**old, **new}
        if of_row[1] >= since and old.get(of_row) != new.get(of_row)
    ]
    return [
        HistoryDifference(id_, new.get((id_.key, id_.effective_on), gone))
        for id_ in sorted(differing, key=_order)
    ]


def _changes_since(entries: Sequence[RowEntry], added: RowEntry) -> date | None:
    """Return a day before which an entry changes nothing; None if that may be any day."""
    if isinstance(added, Settlement):
        return None
    if isinstance(added, PersonNotice) and added.reason is Reason.CANCELLED:
        cancelled = cancellations_of([added])
        return next(
            (
                each.effective_on
                for each in entries
                if isinstance(each, PersonNotice) and each.id in cancelled
            ),
            None,
        )
    return _day(added)


def _day(entry: RowEntry) -> date:
    """Return the day on which rows become others by an entry; of a settlement, any: the days of notices count."""
    if isinstance(entry, Enrolment):
        return entry.since
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
