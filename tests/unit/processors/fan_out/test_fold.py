"""The fold's promises, over histories of every kind."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.fan_out import person as kept
from processors.fan_out.conflicts import conflicts
from processors.fan_out.effective_order import order_day
from processors.fan_out.fold import fold
from processors.fan_out.history import AccountEvent, Enrolment, Facts, History, PersonNotice
from processors.fan_out.messages import ResidentMessage, messages
from processors.fan_out.person import Entry, PersonAggregate
from processors.fan_out.person_state import NOWHERE, PersonState
from processors.fan_out.serialization import read_person, write_person
from schemas.reasons import Reason
from tests.unit.processors.fan_out.histories import arrivals, histories

Sent = set[tuple[str, str, str]]


def history_of(entries: list[Entry]) -> History:
    """Entries by their kind."""
    return History(
        tuple(entry for entry in entries if isinstance(entry, PersonNotice)),
        tuple(entry for entry in entries if isinstance(entry, Enrolment)),
        tuple(entry for entry in entries if isinstance(entry, AccountEvent)),
    )


def sent(told: list[ResidentMessage]) -> list[tuple[str, str, str]]:
    """What identifies messages."""
    return sorted((each.domain, *each.notice.id) for each in told)


class Kept:
    """A person whose history arrives entry by entry, with chapters as the step keeps them."""

    def __init__(self) -> None:
        self.person, self.chapters, self.told = (
            PersonAggregate(),
            list[PersonNotice](),
            list[ResidentMessage](),
        )

    def take(self, entry: Entry) -> list[ResidentMessage] | None:
        """One entry; the messages it brings."""
        told = self.person.apply(entry, lambda: self.chapters)
        self.told += told or []
        self.chapters += self.person.archive_oldest()
        self.person = read_person(write_person(self.person))
        return told


@settings(max_examples=300)
@given(st.data())
def test_an_extension_equals_the_fold_of_the_longer_history(data: st.DataObject) -> None:
    """Whatever arrives in whatever order, what is kept is the fold of all that has arrived."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    one = Kept()
    for count, entry in enumerate(arrived, start=1):
        one.take(entry)
        assert one.person.view == fold(history_of(arrived[:count]))


@settings(max_examples=300)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    """Any two orders that keep each municipality's list come to the same view, messages and conflicts."""
    told = data.draw(histories())
    one, other = Kept(), Kept()
    for entry in data.draw(arrivals(*told)):
        one.take(entry)
    for entry in data.draw(arrivals(*told)):
        other.take(entry)
    assert one.person.view == other.person.view
    assert sent(one.told) == sent(other.told)
    assert conflicts("p", one.person.view) == conflicts("p", other.person.view)


@settings(max_examples=200)
@given(st.data())
def test_messages_are_those_of_the_whole_history(data: st.DataObject) -> None:
    """Told as they come, once each, and in the end those that the history as a whole gives."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    one = Kept()
    for entry in arrived:
        one.take(entry)
    history = history_of(arrived)
    assert sent(one.told) == sent(messages(history.notices, history.enrolments, one.person.view.known_from))


@settings(max_examples=100)
@given(st.data())
def test_a_history_in_small_chapters_is_the_same(data: st.DataObject) -> None:
    """However early notices go into chapters, nothing changes."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    usual = kept.OPEN_NOTICES
    try:
        kept.OPEN_NOTICES = 3  # type: ignore[misc]
        one = Kept()
        for count, entry in enumerate(arrived, start=1):
            one.take(entry)
            assert one.person.view == fold(history_of(arrived[:count]))
    finally:
        kept.OPEN_NOTICES = usual  # type: ignore[misc]


@given(st.data())
def test_a_repeated_enrolment_or_account_changes_nothing(data: st.DataObject) -> None:
    """The same enrolment, or the same event of an account, told again is no news."""
    _, others = told = data.draw(histories())
    one = Kept()
    for entry in data.draw(arrivals(*told)):
        one.take(entry)
    view = one.person.view
    for entry in others:
        assert one.take(entry) is None
    assert one.person.view == view


@given(st.data())
def test_a_fold_leaves_the_views_before_it_alone(data: st.DataObject) -> None:
    """Differences are taken against a view that an extension doesn't touch."""
    arrived = data.draw(arrivals(*data.draw(histories())))
    one = Kept()
    for count, entry in enumerate(arrived):
        before = one.person.view
        one.take(entry)
        assert before == fold(history_of(arrived[:count]))


def test_an_empty_history_folds_to_nothing() -> None:
    """Nobody is nowhere."""
    assert fold(History()) == PersonState()


def moved(place: str, seq: int, reason: Reason, other: str | None = None) -> PersonNotice:
    """A move of one day."""
    return PersonNotice(
        place, f"{place[:5]}-{seq}", seq, reason, date(2026, 4, 1), moved_from=other, moved_to=other
    )


A, B, C = "131041", "011002", "271004"
FIRST, IN, OUT = Reason.FIRST_REGISTERED, Reason.MOVED_IN, Reason.MOVED_OUT


def walked(*notices: PersonNotice) -> list[str]:
    """Municipalities and reasons in the order of the day, from nowhere."""
    return [f"{n.municipality}:{n.reason.japanese}" for n in order_day(notices, NOWHERE)]


def test_a_day_follows_the_person_round_and_back() -> None:
    """A → B → C → A on one day, whatever the municipalities' codes."""
    day = [moved(A, 1, FIRST), moved(A, 2, OUT, B), moved(A, 3, IN, C), moved(A, 4, Reason.MOVED_WITHIN)]
    day += [moved(B, 1, IN, A), moved(B, 2, OUT, C), moved(C, 1, IN, B), moved(C, 2, OUT, A)]
    wanted = [f"{A}:初期登録", f"{A}:転出", f"{B}:転入", f"{B}:転出", f"{C}:転入", f"{C}:転出"]
    assert walked(*day) == [*wanted, f"{A}:転入", f"{A}:転居"]


def test_two_round_trips_on_one_day() -> None:
    """A → B → A → B: each move in waits for its own move out."""
    day = [moved(A, 1, FIRST), moved(A, 2, OUT, B), moved(A, 3, IN, B), moved(A, 4, OUT, B)]
    day += [moved(B, 1, IN, A), moved(B, 2, OUT, A), moved(B, 3, IN, A)]
    wanted = [f"{A}:初期登録", f"{A}:転出", f"{B}:転入", f"{B}:転出", f"{A}:転入", f"{A}:転出", f"{B}:転入"]
    assert walked(*day) == wanted


def test_who_comes_from_outside_and_moves_on_the_same_day() -> None:
    """The first move out is nobody's here: the move in that waits for none comes first."""
    day = [moved(B, 1, IN, A), moved(A, 1, IN, "473812"), moved(A, 2, OUT, B)]
    assert walked(*day) == [f"{A}:転入", f"{A}:転出", f"{B}:転入"]


def test_a_cancellation_may_bring_a_day_in_a_chapter_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day whose notices went into a chapter becomes the latest again: what then joins it finds its place."""
    monkeypatch.setattr(kept, "OPEN_NOTICES", 2)
    here = Facts(address="三丁目")
    entries = [
        PersonNotice(A, "1", 1, FIRST, date(2026, 4, 1), Facts(address="一丁目")),
        PersonNotice(A, "2", 2, Reason.MOVED_WITHIN, date(2026, 4, 2), here),
        PersonNotice(A, "3", 3, Reason.MOVED_WITHIN, date(2026, 4, 3), here),
        PersonNotice(A, "4", 4, Reason.HEAD_CHANGED, date(2026, 4, 3), here),
        PersonNotice(A, "5", 5, Reason.CANCELLED, date(2026, 4, 3), cancels="3"),
        PersonNotice(A, "6", 6, Reason.CANCELLED, date(2026, 4, 3), cancels="4"),
        PersonNotice(B, "7", 1, FIRST, date(2026, 4, 2), Facts(address="別の町")),
    ]
    one = Kept()
    for entry in entries:
        one.take(entry)
    assert one.chapters
    assert one.person.view == fold(history_of([*entries]))
    assert one.person.view.facts == here
