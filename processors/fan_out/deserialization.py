"""Conversion of a person from the records of the state stores, which `serialization` describes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from operator import itemgetter
from typing import Final

from processors.fan_out.history import (
    Account,
    AccountEvent,
    Enrolment,
    Facts,
    PersonNotice,
    Settlement,
    decisions_of,
)
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import (
    NO_RESIDENCE,
    AccountConflict,
    AccountInForce,
    Departure,
    DomainRow,
    Ledger,
    LifePeriod,
    PersonState,
    Protection,
    Registration,
    Residence,
    ResidenceEnd,
    UnconfirmedNotice,
)
from processors.fan_out.serialization import Stored, usual_life
from processors.fan_out.waiting_entries import WaitingEntry
from schemas.reasons import Reason

_FACTS: Final = itemgetter(*Facts._fields)
_REASONS: Final = {reason.value: reason for reason in Reason}


def read_person(stored: Stored) -> PersonAggregate:
    """Return the person from a record of `state-fan-out-persons`."""
    enrolments = [_read_enrolment(enrolment) for enrolment in stored["enrolments"]]
    settlements = [_read_settlement(settlement) for settlement in stored["settlements"]]
    pool = [_read_facts(facts) for facts in stored["pool"]]
    return PersonAggregate(
        [_read_pooled_notice(notice, pool) for notice in stored["notices"]],
        stored["archived_segments"],
        stored["archived_until"],
        enrolments,
        [_read_event(event) for event in stored["accounts"]],
        settlements,
        {(n["municipality"], n["notice"]): n["received"] for n in stored["cancelled"]},
        {entry["domain"]: entry["revision"] for entry in stored["revisions"]},
        {entry["entity"]: entry["next_on"] for entry in stored["entities"]},
        [] if stored["waiting"] is None else _read_waiting(stored["waiting"]),
        _read_state(stored["state"], enrolments, settlements, pool),
        stored["known_until"],
    )


def _read_state(
    stored: Stored, enrolments: list[Enrolment], settlements: list[Settlement], pool: list[Facts]
) -> PersonState:
    state = PersonState(
        None if stored["facts"] is None else pool[stored["facts"]],
        stored["confirmed"],
        tuple(
            [
                ResidenceEnd(
                    (e["municipality"], e["notice"]),
                    e["rank"],
                    e["destination"],
                )
                for e in stored["ends"]
            ]
        ),
        tuple(
            [
                UnconfirmedNotice(n["kind"], n["municipality"], n["number"], n["effective_on"])
                for n in stored["unconfirmed"]
            ]
        ),
        decisions_of(settlements),
        stored["protected"],
        stored["dead"],
        stored["known_from"],
        stored["last_day"],
        stored["day_over"],
        _read_residence(stored["start_of_day"]),
        {
            r["municipality"]: Registration(
                r["resident"],
                r["since"],
                pool[r["facts"]],
                _REASONS[r["reason"]],
                r["notice"],
                r["moved_from"],
                r["received"],
                r["came_back"],
                r["confirmed_on"],
                r["refused"],
            )
            for r in stored["registers"]
        },
        {
            d["origin"]: Departure(d["to"], d["pending"], frozenset(d["open_domains"]))
            for d in stored["departures"]
        },
        {
            (r["domain"], r["municipality"]): DomainRow(
                r["status"], pool[r["facts"]], r["effective_on"], r["opened_on"]
            )
            for r in stored["rows"]
        },
        tuple([enrolments[index] for index in stored["conflicting_enrolments"]]),
        _read_ledger(stored),
        stored["ever_protected"],
        tuple(
            [Protection(p["since"], p["until"], p["begun_at"], p["ended_at"]) for p in stored["protections"]]
        ),
        tuple(
            [
                LifePeriod(
                    p["begins"],
                    p["municipality"],
                    None if p["facts"] is None else pool[p["facts"]],
                    p["dead"],
                    p["abroad"],
                )
                for p in stored["life"]
            ]
        ),
    )
    if not state.life:
        state.life = usual_life(state)
    return state


def _read_waiting(stored: Stored) -> list[WaitingEntry]:
    notices = [
        WaitingEntry(
            _read_notice(each["notice"], _read_facts(each["notice"]["facts"])),
            [(change["domain"], change["revision"]) for change in each["changes"]],
        )
        for each in stored["notices"]
    ]
    enrolments = [WaitingEntry(_read_enrolment(enrolment)) for enrolment in stored["enrolments"]]
    return [*notices, *enrolments, *(WaitingEntry(_read_event(event)) for event in stored["accounts"])]


def _read_residence(stored: Stored) -> Residence:
    if not (stored["residences"] or stored["departures"]):
        return NO_RESIDENCE
    under_way = ((departure["origin"], departure["to"]) for departure in stored["departures"])
    return Residence(frozenset(stored["residences"]), frozenset(under_way))


def _read_ledger(stored: Stored) -> Ledger:
    latest = stored["account"]
    return Ledger(
        None
        if latest is None
        else AccountInForce(latest["since"], latest["open"], Account(**latest["account"])),
        {
            conflict["account"]: AccountConflict(conflict["kind"], conflict["since"])
            for conflict in stored["in_conflict"]
        },
        tuple(_read_event(event) for event in stored["pending_events"]),
    )


def read_notices(stored: Iterable[Stored]) -> list[PersonNotice]:
    """Return the notices of an archived segment."""
    return [_read_notice(notice, _read_facts(notice["facts"])) for notice in stored]


def _read_pooled_notice(stored: Stored, pool: list[Facts]) -> PersonNotice:
    """Return a notice of a person; version 1 stored it with its facts."""
    number = stored["facts_number"]
    return _read_notice(stored, _read_facts(stored["facts"]) if number is None else pool[number])


def _read_notice(stored: Stored, facts: Facts) -> PersonNotice:
    return PersonNotice(
        stored["municipality"],
        stored["notice"],
        stored["seq"],
        _REASONS[stored["reason"]],
        stored["effective_on"],
        facts,
        bool(stored["facts"]["protected"]),
        stored["moved_from"],
        stored["moved_to"],
        stored["cancels"],
        stored["received"],
    )


def _read_settlement(stored: Stored) -> Settlement:
    return Settlement(
        stored["municipality"],
        stored["notice"],
        stored["registered_in"],
        stored["taken_back"],
        stored["received"],
    )


def _read_enrolment(stored: Stored) -> Enrolment:
    known_on = stored["known_on"] or date.min
    return Enrolment(stored["domain"], stored["municipality"], stored["since"], known_on)


def _read_facts(stored: Stored) -> Facts:
    return Facts._make(_FACTS(stored))


def _read_event(stored: Stored) -> AccountEvent:
    return AccountEvent(stored["effective_on"], Account(**stored["account"]))
