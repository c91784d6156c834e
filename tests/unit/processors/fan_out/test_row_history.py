"""The history of rows: what it says of a day as known on a day, whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.fan_out.deserialization import read_person
from processors.fan_out.differences import differences, visible_facts
from processors.fan_out.domains import DOMAIN_ORDER
from processors.fan_out.fold import fold
from processors.fan_out.history import (
    AccountEvent,
    Enrolment,
    Facts,
    History,
    PersonNotice,
    Settlement,
    known_on,
    receipt_of,
)
from processors.fan_out.person import Entry, PersonAggregate
from processors.fan_out.person_state import PersonState, RowKey
from processors.fan_out.row_history import (
    RETRACTED,
    WITH_HISTORY,
    HistoryId,
    HistoryOfRecord,
    RowEntry,
    RowVersion,
    applied_to_rows,
    row_history,
)
from processors.fan_out.serialization import write_person
from schemas.reasons import Reason
from tests.unit.processors.fan_out.histories import DAYS, arrivals, histories

#: What a domain sees of a row: its status, its facts, and since when it is so.
Seen = tuple[str, Facts, date]
KNOWN_DAYS = [DAYS[0] + timedelta(days=day) for day in range(8)]


class KeptHistory:
    """A person as fan-out keeps it, and the history that a store has after its changes."""

    def __init__(self) -> None:
        self.person, self.archive = PersonAggregate(), list[PersonNotice]()
        self.rows: dict[HistoryId, RowVersion] = {}

    def apply(self, entry: Entry) -> None:
        """Apply an entry as the step does, and what it publishes as a store does."""
        before = self.person.state
        applied = self.person.apply(entry, lambda: self.archive)
        if applied is not None:
            history = HistoryOfRecord(
                applied_to_rows(entry, applied, self.person, before, lambda: self.archive), date.min
            )
            state = self.person.state
            for difference in differences(before, state):
                if difference.row is not None:
                    row, key = difference.row, difference.key
                    seen = row.status, visible_facts(key[0], row, protected=state.protected)
                    known_from = history.known_from(difference, *seen)
                    if known_from is not None:
                        self.rows[HistoryId(key, row.effective_on, known_from)] = RowVersion(*seen)
            for id_, version in history.rest():
                assert self.rows.get(id_) != version
                if version is None:
                    del self.rows[id_]
                else:
                    self.rows[id_] = version
        self.archive += self.person.archive_oldest()
        self.person = read_person(write_person(self.person))


def as_of(rows: dict[HistoryId, RowVersion], effective: date, known: date) -> dict[RowKey, Seen]:
    """Return what held on a day as known on a day, by the rows of a history."""
    latest: dict[tuple[RowKey, date], tuple[date, RowVersion]] = {}
    for (key, effective_on, known_from), version in rows.items():
        if effective_on <= effective and known_from <= known:
            other = latest.get((key, effective_on))
            if other is None or other[0] < known_from:
                latest[key, effective_on] = known_from, version
    found: dict[RowKey, Seen] = {}
    for (key, effective_on), (_, (status, facts)) in sorted(latest.items(), key=lambda item: item[0][1]):
        if status != RETRACTED and facts is not None:
            found[key] = status, facts, effective_on
    return found


def table(state: PersonState, *, hides_address: bool) -> dict[RowKey, Seen]:
    """Return the rows of a state as a history shows them."""
    return {
        key: (row.status, visible_facts(key[0], row, protected=hides_address), row.effective_on)
        for key, row in state.rows.items()
        if key[0] in WITH_HISTORY
    }


def folded(entries: Iterable[Entry]) -> PersonState:
    """Return the state after entries."""
    of_kind: dict[type, list[Any]] = {PersonNotice: [], Enrolment: [], AccountEvent: [], Settlement: []}
    for entry in entries:
        of_kind[type(entry)].append(entry)
    return fold(History(*(tuple(each) for each in of_kind.values())))


def of_rows(entries: Iterable[Entry]) -> list[RowEntry]:
    """Return the entries of which rows follow."""
    return [entry for entry in entries if not isinstance(entry, AccountEvent)]


def dated(data: st.DataObject, arrived: Sequence[Entry]) -> list[Entry]:
    """Return entries with days of receipt drawn at random, which grow within each register."""
    last: dict[str, date] = {}
    entries: list[Entry] = []
    for number, entry in enumerate(arrived):
        if isinstance(entry, AccountEvent):
            entries.append(entry)
            continue
        source = entry.municipality if isinstance(entry, PersonNotice) else f"{number}"
        source = source or ""
        on = data.draw(st.sampled_from([day for day in KNOWN_DAYS if day >= last.get(source, KNOWN_DAYS[0])]))
        last[source] = on
        if isinstance(entry, Enrolment):
            entries.append(entry._replace(known_on=on))
            continue
        at = datetime(on.year, on.month, on.day, 3, tzinfo=UTC) + timedelta(seconds=number)
        received = receipt_of(int(at.timestamp() * 1000), "in", 0, number)
        entries.append(entry._replace(received=received))
    return entries


@settings(max_examples=40)
@given(st.data())
def test_what_is_published_is_the_history_of_all_entries(data: st.DataObject) -> None:
    """After each entry, in whatever order they arrive."""
    arrived = dated(data, data.draw(arrivals(*data.draw(histories()))))
    kept = KeptHistory()
    for count, entry in enumerate(arrived, start=1):
        kept.apply(entry)
        hides = kept.person.state.ever_protected
        assert kept.rows == row_history(of_rows(arrived[:count]), hides_address=hides)


@settings(max_examples=40)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    """Not even the order within a register: the day of receipt decides."""
    arrived = dated(data, data.draw(arrivals(*data.draw(histories()))))
    expected = row_history(of_rows(arrived), hides_address=folded(arrived).ever_protected)
    shuffled = KeptHistory()
    for entry in data.draw(st.permutations(arrived)):
        shuffled.apply(entry)
    assert shuffled.rows == expected


def test_rows_that_are_again_what_they_were_known_to_be_have_no_history_of_the_time_between() -> None:
    """A name changes; two days later another name and then the first one again are received, all for that same day."""
    entries: list[RowEntry] = [Enrolment("local-tax", "131041", DAYS[0], DAYS[0])]
    names = [("名前", 0), ("花子", 1), ("桜子", 3), ("花子", 3)]
    for seq, (name, known) in enumerate(names, start=1):
        reason = Reason.FIRST_REGISTERED if seq == 1 else Reason.NAME_CHANGED
        at = datetime.combine(KNOWN_DAYS[known], time(3), UTC)
        received = receipt_of(int(at.timestamp() * 1000), "in", 0, seq)
        day = DAYS[0] if seq == 1 else DAYS[1]
        facts = Facts(name)
        entries.append(PersonNotice("131041", str(seq), seq, reason, day, facts, received=received))
    kept = KeptHistory()
    for count, entry in enumerate(entries, start=1):
        kept.apply(entry)
        assert kept.rows == row_history(entries[:count], hides_address=False)
    assert {id_.known_from for id_ in kept.rows} == set(DAYS[:2])


@settings(max_examples=40)
@given(st.data())
def test_a_history_is_what_the_rows_had_been(data: st.DataObject) -> None:
    """For each two days: what follows from the entries known by one of them and in force by the other."""
    arrived = dated(data, data.draw(arrivals(*data.draw(histories()))))
    hides = folded(arrived).ever_protected
    rows = row_history(of_rows(arrived), hides_address=hides)
    for known in KNOWN_DAYS:
        until_then = [entry for entry in of_rows(arrived) if known_on(entry) <= known]
        assert as_of(rows, DAYS[-1], known) == table(folded(until_then), hides_address=hides)
        for effective in DAYS:
            in_force = [
                entry
                for entry in until_then
                if isinstance(entry, Settlement)
                or (isinstance(entry, PersonNotice) and entry.cancels is not None)
                or (entry.since if isinstance(entry, Enrolment) else entry.effective_on) <= effective
            ]
            assert as_of(rows, effective, known) == table(folded(in_force), hides_address=hides)


@given(st.data())
def test_no_address_of_anybody_ever_protected(data: st.DataObject) -> None:
    """Not in any row, whatever was known before the measure began."""
    kept = KeptHistory()
    for entry in dated(data, data.draw(arrivals(*data.draw(histories())))):
        kept.apply(entry)
        if kept.person.state.ever_protected:
            assert all(
                version.facts is None or version.facts.address is None for version in kept.rows.values()
            )
    assert all(key[0] in DOMAIN_ORDER for key, *_ in kept.rows)
