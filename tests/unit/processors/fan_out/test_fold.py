"""The promises of the fold, for drawn histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.fan_out import person as person_module
from processors.fan_out.accounts import account_versions
from processors.fan_out.conflicts import conflicts
from processors.fan_out.deserialization import read_person
from processors.fan_out.effective_order import order_day
from processors.fan_out.fold import fold
from processors.fan_out.history import AccountEvent, Enrolment, Facts, History, PersonNotice, Settlement
from processors.fan_out.messages import ResidentMessage, messages
from processors.fan_out.person import Entry, PersonAggregate
from processors.fan_out.person_state import NO_RESIDENCE, PersonState
from processors.fan_out.serialization import write_person
from schemas.reasons import Reason
from tests.unit.processors.fan_out.histories import arrivals, histories


def history_of(entries: list[Entry]) -> History:
    """Return entries as a history."""
    return History(
        tuple(entry for entry in entries if isinstance(entry, PersonNotice)),
        tuple(entry for entry in entries if isinstance(entry, Enrolment)),
        tuple(entry for entry in entries if isinstance(entry, AccountEvent)),
        tuple(entry for entry in entries if isinstance(entry, Settlement)),
    )


def message_keys(sent: list[ResidentMessage]) -> list[tuple[str, str, str]]:
    """Return what identifies each message, sorted."""
    return sorted((message.domain, *message.notice.id) for message in sent)


class StoredPerson:
    """A person whose history arrives entry by entry, stored and archived after each entry as the step does it."""

    def __init__(self) -> None:
        self.person, self.archive, self.messages = (
            PersonAggregate(),
            list[PersonNotice](),
            list[ResidentMessage](),
        )

    def apply(self, entry: Entry) -> list[ResidentMessage] | None:
        """Apply one entry; return its messages, or None if it changes nothing."""
        applied = self.person.apply(entry, lambda: self.archive)
        messages = None if applied is None else applied.messages
        self.messages += messages or []
        self.archive += self.person.archive_oldest()
        self.person = read_person(write_person(self.person))
        return messages


@settings(max_examples=300)
@given(st.data())
def test_an_extension_equals_the_fold_of_the_longer_history(data: st.DataObject) -> None:
    """Whatever arrives in whatever order, the stored state is the fold of all that has arrived."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    stored = StoredPerson()
    for count, entry in enumerate(arrived, start=1):
        stored.apply(entry)
        assert stored.person.state == fold(history_of(arrived[:count]))


@settings(max_examples=200)
@given(st.data())
def test_the_versions_of_the_account_are_those_of_the_fold(data: st.DataObject) -> None:
    """After the account events of each day, the last version is the account that the fold has."""
    history = history_of(data.draw(arrivals(*data.draw(histories()))))
    for day in {event.effective_on for event in history.accounts}:
        events = tuple(event for event in history.accounts if event.effective_on <= day)
        state = fold(replace(history, accounts=events))
        versions = account_versions(events, state.life)
        latest = state.ledger.latest
        expected = [] if latest is None else [(latest.since, latest.open, latest.account[2:])]
        assert [tuple(version) for version in versions[-1:]] == expected
        assert [version.begins for version in versions] == sorted(version.begins for version in versions)


@settings(max_examples=300)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    """Any two orders that keep each register's order give the same state, messages and conflicts."""
    history = data.draw(histories())
    stored, other = StoredPerson(), StoredPerson()
    for entry in data.draw(arrivals(*history)):
        stored.apply(entry)
    for entry in data.draw(arrivals(*history)):
        other.apply(entry)
    assert stored.person.state == other.person.state
    assert message_keys(stored.messages) == message_keys(other.messages)
    assert conflicts("p", stored.person.state) == conflicts("p", other.person.state)


@settings(max_examples=200)
@given(st.data())
def test_messages_equal_those_of_the_complete_history(data: st.DataObject) -> None:
    """Each is sent once, as its entry arrives."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    stored = StoredPerson()
    for entry in arrived:
        stored.apply(entry)
    history = history_of(arrived)
    assert message_keys(stored.messages) == message_keys(
        messages(history.notices, history.enrolments, stored.person.state.known_from)
    )


@settings(max_examples=100)
@given(st.data())
def test_archiving_early_changes_nothing(data: st.DataObject) -> None:
    """The state is the same however few notices stay open."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    usual = person_module.NOTICES_MAX
    try:
        person_module.NOTICES_MAX = 3  # type: ignore[misc]
        stored = StoredPerson()
        for count, entry in enumerate(arrived, start=1):
            stored.apply(entry)
            assert stored.person.state == fold(history_of(arrived[:count]))
    finally:
        person_module.NOTICES_MAX = usual  # type: ignore[misc]


@given(st.data())
def test_a_repeated_enrolment_or_account_event_changes_nothing(data: st.DataObject) -> None:
    """`apply` returns None."""
    _, others = history = data.draw(histories())
    stored = StoredPerson()
    for entry in data.draw(arrivals(*history)):
        stored.apply(entry)
    state = stored.person.state
    for entry in others:
        if not isinstance(entry, Settlement):
            assert stored.apply(entry) is None
    assert stored.person.state == state


@given(st.data())
def test_applying_an_entry_leaves_earlier_states_unchanged(data: st.DataObject) -> None:
    """Differences are computed against the previous state."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    stored = StoredPerson()
    for count, entry in enumerate(arrived):
        before = stored.person.state
        stored.apply(entry)
        assert before == fold(history_of(arrived[:count]))


def test_an_empty_history_folds_to_nothing() -> None:
    """The state is that of an unknown person."""
    assert fold(History()) == PersonState()


def moved(municipality: str, seq: int, reason: Reason, other: str | None = None) -> PersonNotice:
    """Return a notice of one fixed day."""
    return PersonNotice(
        municipality,
        f"{municipality[:5]}-{seq}",
        seq,
        reason,
        date(2026, 4, 1),
        moved_from=other,
        moved_to=other,
    )


A, B, C = "131041", "011002", "271004"
FIRST, IN, OUT = Reason.FIRST_REGISTERED, Reason.MOVED_IN, Reason.MOVED_OUT


def ordered(*notices: PersonNotice) -> list[str]:
    """Return municipality and reason of each notice in the order of the day."""
    return [f"{n.municipality}:{n.reason.japanese}" for n in order_day(notices, NO_RESIDENCE)]


def test_a_round_trip_on_one_day() -> None:
    """A → B → C → A, whatever the municipality codes."""
    day = [moved(A, 1, FIRST), moved(A, 2, OUT, B), moved(A, 3, IN, C), moved(A, 4, Reason.MOVED_WITHIN)]
    day += [moved(B, 1, IN, A), moved(B, 2, OUT, C), moved(C, 1, IN, B), moved(C, 2, OUT, A)]
    expected = [f"{A}:初期登録", f"{A}:転出", f"{B}:転入", f"{B}:転出", f"{C}:転入", f"{C}:転出"]
    assert ordered(*day) == [*expected, f"{A}:転入", f"{A}:転居"]


def test_two_round_trips_on_one_day() -> None:
    """A → B → A → B: each move in follows its own move out."""
    day = [moved(A, 1, FIRST), moved(A, 2, OUT, B), moved(A, 3, IN, B), moved(A, 4, OUT, B)]
    day += [moved(B, 1, IN, A), moved(B, 2, OUT, A), moved(B, 3, IN, A)]
    expected = [f"{A}:初期登録", f"{A}:転出", f"{B}:転入", f"{B}:転出", f"{A}:転入", f"{A}:転出", f"{B}:転入"]
    assert ordered(*day) == expected


def test_a_move_in_from_outside_and_on_the_same_day() -> None:
    """The first move out belongs to no municipality here: a move in that waits for none comes first."""
    day = [moved(B, 1, IN, A), moved(A, 1, IN, "473812"), moved(A, 2, OUT, B)]
    assert ordered(*day) == [f"{A}:転入", f"{A}:転出", f"{B}:転入"]


def test_a_cancellation_may_reopen_an_archived_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day whose notices are archived becomes the latest again: a further notice of it is ordered correctly."""
    monkeypatch.setattr(person_module, "NOTICES_MAX", 2)
    new_address = Facts(address="三丁目")
    entries = [
        PersonNotice(A, "1", 1, FIRST, date(2026, 4, 1), Facts(address="一丁目")),
        PersonNotice(A, "2", 2, Reason.MOVED_WITHIN, date(2026, 4, 2), new_address),
        PersonNotice(A, "3", 3, Reason.MOVED_WITHIN, date(2026, 4, 3), new_address),
        PersonNotice(A, "4", 4, Reason.HEAD_CHANGED, date(2026, 4, 3), new_address),
        PersonNotice(A, "5", 5, Reason.CANCELLED, date(2026, 4, 3), cancels="3"),
        PersonNotice(A, "6", 6, Reason.CANCELLED, date(2026, 4, 3), cancels="4"),
        PersonNotice(B, "7", 1, FIRST, date(2026, 4, 2), Facts(address="別の町")),
    ]
    stored = StoredPerson()
    for entry in entries:
        stored.apply(entry)
    assert stored.archive
    assert stored.person.state == fold(history_of([*entries]))
    assert stored.person.state.facts == new_address
