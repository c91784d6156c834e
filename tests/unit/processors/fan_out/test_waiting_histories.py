"""Drawn histories on days that move: after every record, what holds is the fold of the entries whose day has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.fan_out.conflicts import conflicts
from processors.fan_out.deserialization import read_person
from processors.fan_out.domains import visible_values
from processors.fan_out.fold import fold
from processors.fan_out.history import AccountEvent, Enrolment, PersonNotice, Settlement, received_at
from processors.fan_out.messages import messages
from processors.fan_out.person import Entry, PersonAggregate
from processors.fan_out.person_state import PersonState
from schemas.reasons import Reason
from tests.unit.processors.fan_out.histories import DAYS, arrivals, histories
from tests.unit.processors.fan_out.test_fold import history_of, message_keys
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

#: Every entry of the histories is received in 1970, so the days begin by the records of the clock alone.
BEFORE_ALL = DAYS[0] - timedelta(days=1)
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@st.composite
def records(draw: Callable[[Any], Any], history: Any) -> list[Entry | date]:
    """Draw an order of arrival, with days that begin anywhere in it, some of them not or twice."""
    arrived: list[Entry | date] = [*draw(arrivals(*history))]
    for day in draw(st.lists(st.sampled_from(DAYS), max_size=4)):
        arrived.insert(draw(st.integers(0, len(arrived))), day)
    return arrived


def row_of(record: Entry | date, number: int) -> Row:
    """Return a record of `person.change`."""
    origin = {"topic": "t", "partition": 0, "offset": number, "file": None, "line": None}
    row: Row = {"person": "p", "municipality": None, "seq": 0, "origin": origin}
    row |= {"received_at": datetime.fromtimestamp(0, UTC)}
    if isinstance(record, date):
        return row | {"person": "", "kind": "DAY_BEGUN", "effective_on": record}
    if isinstance(record, PersonNotice):
        return row | _of_notice(record)
    if isinstance(record, Enrolment):
        where = {"domain": record.domain, "municipality": record.municipality}
        return row | {"kind": "ENROLMENT", "effective_on": record.since, **where}
    if isinstance(record, AccountEvent):
        account = record.account._asdict()
        return row | {"kind": "ACCOUNT", "effective_on": record.effective_on, "account": account}
    decision = record._asdict()
    at = _moment(decision.pop("received"))
    kind = {"kind": "SETTLEMENT", "settlement": decision, "received_at": at}
    return row | kind | {"effective_on": date(1970, 1, 1), "origin": {**origin, "topic": "in.operator"}}


def _of_notice(notice: PersonNotice) -> Row:
    topic, offset = f"in.juki.{notice.municipality}", notice.seq
    return {
        "kind": "CANCELLATION" if notice.reason is Reason.CANCELLED else "NOTICE",
        "municipality": notice.municipality,
        "case": {"municipality": notice.municipality, "notice": notice.number},
        "seq": notice.seq,
        "reason": notice.reason.value,
        "effective_on": notice.effective_on,
        "facts": {**notice.facts._asdict(), "protected": notice.protected},
        "moved_from": notice.moved_from,
        "moved_to": notice.moved_to,
        "cancels": notice.cancels,
        "received_at": _moment(notice.received),
        "origin": {"topic": topic, "partition": 0, "offset": offset, "file": None, "line": None},
    }


def _moment(receipt: str) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=received_at(receipt))


def has_come(entry: Entry, day: date) -> bool:
    """Return whether an entry has an effect on a day."""
    if isinstance(entry, Settlement) or (
        isinstance(entry, PersonNotice) and entry.reason is Reason.CANCELLED
    ):
        return True
    return (entry.since if isinstance(entry, Enrolment) else entry.effective_on) <= day


def comparable(state: PersonState) -> PersonState:
    """Return a state without the days on which enrolments were known, which the drawn ones don't have."""
    enrolments = tuple(each._replace(known_on=date.min) for each in state.conflicting_enrolments)
    return replace(state, conflicting_enrolments=enrolments)


def seen(state: PersonState, *, protected: bool) -> dict[Any, Any]:
    """Return what the domains see of the rows of a person who is protected, or isn't."""
    return {key: visible_values(key[0], row, protected=protected) for key, row in state.rows.items()}


def check_state(person: PersonAggregate, arrived: Iterable[Entry], day: date) -> None:
    """Assert that a state is the fold of the entries whose day has come, and hides what has to be hidden."""
    entries = list(arrived)
    now = fold(history_of([entry for entry in entries if has_come(entry, day)]))
    ahead = [entry for entry in entries if isinstance(entry, PersonNotice) and not has_come(entry, day)]
    if not any(notice.begins_protection for notice in ahead):
        assert comparable(person.state) == comparable(now)
        return
    assert person.state.protected
    assert person.state.ever_protected
    assert person.state.life == now.life
    assert seen(person.state, protected=True) == seen(now, protected=True)


@settings(max_examples=30, deadline=None, suppress_health_check=_SLOW)
@given(st.data())
def test_a_state_is_the_fold_of_what_has_come(data: st.DataObject) -> None:
    """Also between the beginning of a day and the portion of the agenda that has the person: one record at a time."""
    arrived = data.draw(records(data.draw(histories())))
    steps, day = TwoSteps(), BEFORE_ALL
    entries = list[Entry]()
    for number, record in enumerate(arrived):
        steps.change([row_of(record, number)])
        if isinstance(record, date):
            day = max(day, record)
        else:
            entries.append(record)
        stored = steps.fan_out_state["persons"].values.get("p")
        if stored is not None:
            check_state(read_person(stored), entries, day)


@settings(max_examples=30, deadline=None, suppress_health_check=_SLOW)
@given(st.data())
def test_the_stores_do_not_depend_on_when_a_day_began(data: st.DataObject) -> None:
    """Rows, accounts, messages and conflicts are those of a mesh in which all days had begun before everything."""
    arrived = data.draw(records(data.draw(histories())))
    size = data.draw(st.integers(1, 20))
    rows = [row_of(record, number) for number, record in enumerate([*arrived, DAYS[-1]])]
    steps, expected = TwoSteps(serialized=True), TwoSteps(serialized=True)
    for first in range(0, len(rows), size):
        steps.change(rows[first : first + size])
    expected.change([row_of(DAYS[-1], 0), *(row for row in rows if row["kind"] != "DAY_BEGUN")])
    assert DomainStores(steps.outputs).content() == DomainStores(expected.outputs).content()
    assert not [key for key in steps.fan_out_state["agenda"].values if key.endswith("/PERSON")]
    persons = [each.fan_out_state["persons"].values.get("p") for each in (steps, expected)]
    if persons[0] is not None and persons[1] is not None:
        states = [read_person(person).state for person in persons if person is not None]
        assert states[0] == states[1]
    check_cases(steps)


def check_cases(steps: TwoSteps) -> None:
    """Assert that every change of a case is in its last record, and that there is one that doesn't wait."""
    finished, last = Counter[str](), dict[str, set[tuple[str, int]]]()
    for row in steps.outputs.get("case.dispatched", []):
        case = f"{row['case']['municipality']}/{row['case']['notice']}"
        changes = {(change["domain"], change["revision"]) for change in row["changes"]}
        assert last.get(case, set()) <= changes
        last[case] = changes
        finished[case] += not row["waits"]
    assert set(finished.values()) <= {1}
    published = dict[str, set[tuple[str, int]]]()
    for topic, rows in steps.outputs.items():
        for row in rows if topic.startswith("change.") else ():
            if row["case"] is not None:
                case = f"{row['case']['municipality']}/{row['case']['notice']}"
                published.setdefault(case, set()).add((topic.removeprefix("change."), row["revision"]))
    assert {case: changes for case, changes in last.items() if changes} == published


@settings(max_examples=30, deadline=None, suppress_health_check=_SLOW)
@given(st.data())
def test_messages_do_not_wait(data: st.DataObject) -> None:
    """After the last record, those of the complete history are there, whichever days have come."""
    arrived = data.draw(records(data.draw(histories())))
    steps = TwoSteps()
    for number, record in enumerate(arrived):
        steps.change([row_of(record, number)])
    history = history_of([record for record in arrived if not isinstance(record, date)])
    complete = messages(history.notices, history.enrolments, fold(history).known_from)
    sent = [(domain, *case.split("/")) for domain, _, case in DomainStores(steps.outputs).messages]
    assert sorted(sent) == message_keys(complete)


def test_conflicts_wait_too() -> None:
    """An enrolment ahead of its day is a conflict on its day alone."""
    person = PersonAggregate()
    person.keep_waiting(Enrolment("nta", None, DAYS[1]), list)
    assert conflicts("p", person.state) == {}
    due = person.next_due(DAYS[1])
    assert due is not None
    person.release(due, list)
    assert [each.kind for each in conflicts("p", person.state).values()] == ["ENROLMENT_WITHOUT_RESIDENT"]
