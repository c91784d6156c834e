"""Conversion of a person to and from the records of the state stores.

Rows, registrations and the latest facts are mostly the same facts: the record has each distinct one once, in a pool,
and refers to it by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from operator import itemgetter
from typing import Any, Final

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
from processors.fan_out.waiting_entries import WaitingEntry
from schemas.reasons import Reason

Stored = Mapping[str, Any]

_NOTICE_FACTS: Final = (*Facts._fields, "protected")
_FACTS: Final = itemgetter(*Facts._fields)
_REASONS: Final = {reason.value: reason for reason in Reason}


class FactsPool:
    """The distinct facts of a person, numbered."""

    def __init__(self) -> None:
        self._numbers: dict[Facts, int] = {}

    def number(self, facts: Facts) -> int:
        """Return the number of these facts, adding them if they are new."""
        return self._numbers.setdefault(facts, len(self._numbers))

    def records(self) -> list[dict[str, Any]]:
        """Return the facts in the order of their numbers."""
        return list(map(_write_facts, self._numbers))


def write_person(person: PersonAggregate) -> dict[str, Any]:
    """Return the record of `state-fan-out-persons`."""
    pool = FactsPool()
    state = _write_state(person, pool)  # Before the pool's records: it fills the pool.
    return {
        "notices": write_notices(person.notices),
        "archived_segments": person.archived_segments,
        "archived_until": person.archived_until,
        "known_until": person.known_until,
        "enrolments": [_write_enrolment(enrolment) for enrolment in person.enrolments],
        "accounts": [_write_event(event) for event in person.accounts],
        "settlements": [settlement._asdict() for settlement in person.settlements],
        "cancelled": [
            {"municipality": m, "notice": number, "received": received}
            for (m, number), received in sorted(person.cancelled.items())
        ],
        "revisions": [
            {"domain": domain, "revision": revision} for domain, revision in person.revisions.items()
        ],
        "entities": [{"entity": id_, "next_on": day} for id_, day in person.entities.items()],
        "waiting": _write_waiting(person.waiting) if person.waiting else None,
        "pool": pool.records(),
        "state": state,
    }


def _write_state(person: PersonAggregate, pool: FactsPool) -> dict[str, Any]:
    state = person.state
    return {
        "facts": None if state.facts is None else pool.number(state.facts),
        "confirmed": state.confirmed,
        "ends": [
            {
                "municipality": end.registration[0],
                "notice": end.registration[1],
                "rank": end.rank,
                "destination": end.destination,
            }
            for end in state.ends
        ],
        "unconfirmed": [notice._asdict() for notice in state.unconfirmed],
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
        "departures": [
            {
                "origin": origin,
                "to": departure.to,
                "pending": departure.pending,
                "open_domains": sorted(departure.open_domains),
            }
            for origin, departure in state.departures.items()
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
        "conflicting_enrolments": [
            person.enrolments.index(enrolment) for enrolment in state.conflicting_enrolments
        ],
        "start_of_day": {
            "residences": sorted(state.start_of_day.municipalities),
            "departures": [
                {"origin": origin, "to": to} for origin, to in sorted(state.start_of_day.under_way, key=str)
            ],
        },
        **_write_ledger(state.ledger),
        "ever_protected": state.ever_protected,
        "protections": [protection._asdict() for protection in state.protections],
        "life": [
            {**period._asdict(), "facts": None if period.facts is None else pool.number(period.facts)}
            for period in state.life
        ],
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
    """Return the records of notices, for a person or an archived segment."""
    return [_write_notice(notice) for notice in notices]


def _write_notice(notice: PersonNotice) -> dict[str, Any]:
    return {
        "municipality": notice.municipality,
        "notice": notice.number,
        "seq": notice.seq,
        "reason": notice.reason.value,
        "effective_on": notice.effective_on,
        "facts": dict(zip(_NOTICE_FACTS, (*notice.facts, notice.protected or None), strict=True)),
        "moved_from": notice.moved_from,
        "moved_to": notice.moved_to,
        "cancels": notice.cancels,
        "received": notice.received,
    }


def _write_facts(facts: Facts) -> dict[str, Any]:
    # As `_asdict`, in half the time.
    return dict(zip(Facts._fields, facts, strict=True))


def _write_enrolment(enrolment: Enrolment) -> dict[str, Any]:
    known_on = None if enrolment.known_on == date.min else enrolment.known_on
    return {**enrolment._asdict(), "known_on": known_on}


def _write_event(event: AccountEvent) -> dict[str, Any]:
    return {"effective_on": event.effective_on, "account": event.account._asdict()}


def read_person(stored: Stored) -> PersonAggregate:
    """Return the person from a record of `state-fan-out-persons`."""
    enrolments = [_read_enrolment(enrolment) for enrolment in stored["enrolments"]]
    settlements = [_read_settlement(settlement) for settlement in stored["settlements"]]
    pool = [_read_facts(facts) for facts in stored["pool"]]
    return PersonAggregate(
        read_notices(stored["notices"]),
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
    return PersonState(
        None if stored["facts"] is None else pool[stored["facts"]],
        stored["confirmed"],
        tuple(
            ResidenceEnd(
                (e["municipality"], e["notice"]),
                e["rank"],
                e["destination"],
            )
            for e in stored["ends"]
        ),
        tuple(
            UnconfirmedNotice(n["kind"], n["municipality"], n["number"], n["effective_on"])
            for n in stored["unconfirmed"]
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
        tuple(enrolments[index] for index in stored["conflicting_enrolments"]),
        _read_ledger(stored),
        stored["ever_protected"],
        tuple(
            Protection(p["since"], p["until"], p["begun_at"], p["ended_at"]) for p in stored["protections"]
        ),
        tuple(
            LifePeriod(
                p["begins"],
                p["municipality"],
                None if p["facts"] is None else pool[p["facts"]],
                p["dead"],
                p["abroad"],
            )
            for p in stored["life"]
        ),
    )


def _read_waiting(stored: Stored) -> list[WaitingEntry]:
    notices = [
        WaitingEntry(
            _read_notice(each["notice"]),
            [(change["domain"], change["revision"]) for change in each["changes"]],
        )
        for each in stored["notices"]
    ]
    enrolments = [WaitingEntry(_read_enrolment(enrolment)) for enrolment in stored["enrolments"]]
    return [*notices, *enrolments, *(WaitingEntry(_read_event(event)) for event in stored["accounts"])]


def _read_residence(stored: Stored) -> Residence:
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
    """Return the notices of a person or an archived segment."""
    return [_read_notice(notice) for notice in stored]


def _read_notice(stored: Stored) -> PersonNotice:
    return PersonNotice(
        stored["municipality"],
        stored["notice"],
        stored["seq"],
        _REASONS[stored["reason"]],
        stored["effective_on"],
        _read_facts(stored["facts"]),
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
