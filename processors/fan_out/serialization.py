"""Conversion of a person to the records of the state stores; `deserialization` has the way back.

Rows, registrations and the latest facts are mostly the same facts: the record has each distinct one once, in a pool,
and refers to it by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from processors.fan_out.history import (
    NOTHING,
    AccountEvent,
    Enrolment,
    Facts,
    PersonNotice,
)
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import (
    NO_RESIDENCE,
    Ledger,
    LifePeriod,
    PersonState,
    Residence,
)
from processors.fan_out.waiting_entries import WaitingEntry

Stored = Mapping[str, Any]

_NOTICE_FACTS: Final = (*Facts._fields, "protected")
#: The facts in the record of a notice whose facts are in the pool.
_NO_FACTS: Final[Stored] = dict.fromkeys(_NOTICE_FACTS)
_PROTECTED: Final[Stored] = {**_NO_FACTS, "protected": True}


#: What most persons don't have, as it is stored.
_NO_ENTRIES: Final[Stored] = {
    **dict.fromkeys(("enrolments", "accounts", "settlements", "cancelled", "entities"), ()),
    "waiting": None,
}
#: What the states of most persons don't have.
_NOTHING_SPECIAL: Final[Stored] = {
    "ends": (),
    "unconfirmed": (),
    "departures": (),
    "conflicting_enrolments": (),
    "start_of_day": {"residences": (), "departures": ()},
    "account": None,
    "in_conflict": (),
    "pending_events": (),
    "protections": (),
    "life": (),
}


class FactsPool:
    """The distinct facts of a person, numbered."""

    def __init__(self) -> None:
        self._numbers: dict[Facts, int] = {}

    def number(self, facts: Facts) -> int:
        """Return the number of these facts, adding them if they are new."""
        return self._numbers.setdefault(facts, len(self._numbers))

    def number_of_changes(self, facts: Facts) -> int | None:
        """As `number`; None for the facts of a notice that changes none."""
        return None if facts == NOTHING else self.number(facts)

    def records(self) -> list[dict[str, Any]]:
        """Return the facts in the order of their numbers."""
        return list(map(_write_facts, self._numbers))


def write_person(person: PersonAggregate) -> dict[str, Any]:
    """Return the record of `state-fan-out-persons`."""
    pool = FactsPool()
    record = {
        **_NO_ENTRIES,
        "notices": [_write_pooled_notice(notice, pool) for notice in person.notices],
        "archived_segments": person.archived_segments,
        "archived_until": person.archived_until,
        "known_until": person.known_until,
        "revisions": [
            {"domain": domain, "revision": revision} for domain, revision in person.revisions.items()
        ],
        "state": _write_state(person, pool),
        "pool": pool.records(),  # After all that fills it.
    }
    if person.enrolments:
        record["enrolments"] = [_write_enrolment(enrolment) for enrolment in person.enrolments]
    if person.accounts:
        record["accounts"] = [_write_event(event) for event in person.accounts]
    if person.settlements:
        record["settlements"] = [settlement._asdict() for settlement in person.settlements]
    if person.cancelled:
        record["cancelled"] = [
            {"municipality": m, "notice": number, "received": received}
            for (m, number), received in sorted(person.cancelled.items())
        ]
    if person.waiting:
        record["waiting"] = _write_waiting(person.waiting)
    if person.entities:
        record["entities"] = [{"entity": id_, "next_on": day} for id_, day in person.entities.items()]
    return record


def _write_state(person: PersonAggregate, pool: FactsPool) -> dict[str, Any]:
    state = person.state
    record = {
        **_NOTHING_SPECIAL,
        "facts": None if state.facts is None else pool.number(state.facts),
        "confirmed": state.confirmed,
        "protected": state.protected,
        "dead": state.dead,
        "known_from": state.known_from,
        "last_day": state.last_day,
        "day_over": state.day_over,
        "registers": [
            {
                "municipality": code,
                "resident": entry.resident,
                "since": entry.since,
                "facts": pool.number(entry.facts),
                "reason": entry.reason.value,
                "notice": entry.notice,
                "moved_from": entry.moved_from,
                "received": entry.received,
                "came_back": entry.came_back,
                "confirmed_on": entry.confirmed_on,
                "refused": entry.refused,
            }
            for code, entry in state.registers.items()
        ],
        "rows": [
            {
                "domain": domain,
                "municipality": code,
                "status": row.status,
                "facts": pool.number(row.facts),
                "effective_on": row.effective_on,
                "opened_on": row.opened_on,
            }
            for (domain, code), row in state.rows.items()
        ],
        "ever_protected": state.ever_protected,
    }
    if state.start_of_day is not NO_RESIDENCE:
        record["start_of_day"] = _write_residence(state.start_of_day)
    if state.life != usual_life(state):
        record["life"] = [_write_period(period, pool) for period in state.life]
    if state.departures or state.ends:
        record |= _write_departures(state)
    if state.unconfirmed:
        record["unconfirmed"] = [notice._asdict() for notice in state.unconfirmed]
    if state.protections:
        record["protections"] = [protection._asdict() for protection in state.protections]
    if state.conflicting_enrolments:
        record["conflicting_enrolments"] = [
            person.enrolments.index(enrolment) for enrolment in state.conflicting_enrolments
        ]
    ledger = state.ledger
    if ledger.latest is not None or ledger.in_conflict or ledger.pending:
        record |= _write_ledger(ledger)
    return record


def _write_departures(state: PersonState) -> dict[str, Any]:
    return {
        "departures": [
            {
                "origin": origin,
                "to": departure.to,
                "pending": departure.pending,
                "open_domains": sorted(departure.open_domains),
            }
            for origin, departure in state.departures.items()
        ],
        "ends": [
            {
                "municipality": end.registration[0],
                "notice": end.registration[1],
                "rank": end.rank,
                "destination": end.destination,
            }
            for end in state.ends
        ],
    }


def _write_period(period: LifePeriod, pool: FactsPool) -> dict[str, Any]:
    return {**period._asdict(), "facts": None if period.facts is None else pool.number(period.facts)}


def usual_life(state: PersonState) -> tuple[LifePeriod, ...]:
    """Return the life of a person of whom nothing has changed since the first registration; it isn't stored."""
    if state.known_from is None:
        return ()
    return (LifePeriod(state.known_from, state.confirmed, state.facts, state.dead, False),)


def _write_residence(residence: Residence) -> dict[str, Any]:
    return {
        "residences": sorted(residence.municipalities),
        "departures": [{"origin": origin, "to": to} for origin, to in sorted(residence.under_way, key=str)],
    }


def _write_ledger(ledger: Ledger) -> dict[str, Any]:
    latest = ledger.latest
    return {
        "account": None if latest is None else {**latest._asdict(), "account": latest.account._asdict()},
        "in_conflict": [
            {"account": account_id, **conflict._asdict()}
            for account_id, conflict in ledger.in_conflict.items()
        ],
        "pending_events": [_write_event(event) for event in ledger.pending],
    }


def write_notices(notices: Iterable[PersonNotice]) -> list[dict[str, Any]]:
    """Return the records of notices, with their facts, for an archived segment."""
    return [_write_notice(notice) for notice in notices]


def _write_notice(notice: PersonNotice) -> dict[str, Any]:
    facts = dict(zip(_NOTICE_FACTS, (*notice.facts, notice.protected or None), strict=True))
    return _notice_record(notice, facts)


def _write_pooled_notice(notice: PersonNotice, pool: FactsPool) -> dict[str, Any]:
    """Return the record of a notice whose facts are in the pool, as a registration or row mostly has the same."""
    record = _notice_record(notice, _PROTECTED if notice.protected else _NO_FACTS)
    record["facts_number"] = pool.number_of_changes(notice.facts)
    return record


def _notice_record(notice: PersonNotice, facts: Stored) -> dict[str, Any]:
    return {
        "municipality": notice.municipality,
        "notice": notice.number,
        "seq": notice.seq,
        "reason": notice.reason.value,
        "effective_on": notice.effective_on,
        "facts": facts,
        "moved_from": notice.moved_from,
        "moved_to": notice.moved_to,
        "cancels": notice.cancels,
        "received": notice.received,
    }


def _write_waiting(waiting: Iterable[WaitingEntry]) -> dict[str, Any]:
    return {
        "notices": [
            {
                "notice": _write_notice(entry),
                "changes": [{"domain": domain, "revision": revision} for domain, revision in changes],
            }
            for entry, changes in waiting
            if isinstance(entry, PersonNotice)
        ],
        "enrolments": [_write_enrolment(entry) for entry, _ in waiting if isinstance(entry, Enrolment)],
        "accounts": [_write_event(entry) for entry, _ in waiting if isinstance(entry, AccountEvent)],
    }


def _write_facts(facts: Facts) -> dict[str, Any]:
    # As `_asdict`, in half the time.
    return dict(zip(Facts._fields, facts, strict=True))


def _write_enrolment(enrolment: Enrolment) -> dict[str, Any]:
    domain, municipality, since, known_on = enrolment
    return {
        "domain": domain,
        "municipality": municipality,
        "since": since,
        "known_on": None if known_on == date.min else known_on,
    }


def _write_event(event: AccountEvent) -> dict[str, Any]:
    return {"effective_on": event.effective_on, "account": event.account._asdict()}
