"""What is kept of a person, to and from the records of the step's stores.

Rows, registrations and the latest facts mostly share the same facts: these are kept once, in a pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

from processors.fan_out.history import Account, AccountEvent, Enrolment, Facts, PersonNotice
from processors.fan_out.person import PersonAggregate
from processors.fan_out.person_state import (
    AccountInForce,
    Departure,
    DomainRow,
    Ledger,
    PersonState,
    RefusedAccount,
    Registration,
    Residence,
)
from schemas.reasons import Reason

Stored = Mapping[str, Any]

_FACTS: Final = itemgetter(*Facts._fields)
_REASONS: Final = {reason.value: reason for reason in Reason}


class Pool:
    """Facts by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[Facts, int] = {}

    def number(self, facts: Facts) -> int:
        """The number of these facts."""
        return self._numbers.setdefault(facts, len(self._numbers))

    def records(self) -> list[dict[str, Any]]:
        """The facts in the order of their numbers."""
        return list(map(_written_facts, self._numbers))


def write_person(person: PersonAggregate) -> dict[str, Any]:
    """The record of `state-fan-out-persons`."""
    pool = Pool()
    view = _write_view(person, pool)
    return {
        "notices": write_notices(person.notices),
        "archived_segments": person.archived_segments,
        "archived_until": person.archived_until,
        "enrolments": [
            {"domain": domain, "municipality": code, "since": since}
            for domain, code, since in person.enrolments
        ],
        "accounts": [_write_event(event) for event in person.accounts],
        "cancelled": [{"municipality": m, "notice": number} for m, number in sorted(person.cancelled)],
        "revisions": [{"domain": domain, "revision": each} for domain, each in person.revisions.items()],
        "pool": pool.records(),
        "state": view,
    }


def _write_view(person: PersonAggregate, pool: Pool) -> dict[str, Any]:
    view = person.view
    return {
        "facts": None if view.facts is None else pool.number(view.facts),
        "protected": view.protected,
        "dead": view.dead,
        "known_from": view.known_from,
        "last_day": view.last_day,
        "day_over": view.day_over,
        "registers": [
            {"municipality": code, "resident": resident, "since": since, "facts": pool.number(facts)}
            for code, (resident, since, facts) in view.registers.items()
        ],
        "departures": [
            {"origin": origin, "to": each.to, "pending": each.pending, "held": sorted(each.held)}
            for origin, each in view.departures.items()
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
            for (domain, code), row in view.rows.items()
        ],
        "missed": [person.enrolments.index(enrolment) for enrolment in view.missed],
        "start_of_day": {
            "residences": sorted(view.start_of_day.residences),
            "departures": [
                {"origin": origin, "to": to} for origin, to in sorted(view.start_of_day.under_way, key=str)
            ],
        },
        **_write_ledger(view.ledger),
    }


def _write_ledger(ledger: Ledger) -> dict[str, Any]:
    held = ledger.held
    return {
        "account": None if held is None else {**held._asdict(), "account": held.account._asdict()},
        "refused": [{"account": account, **each._asdict()} for account, each in ledger.refused.items()],
        "waiting": [_write_event(event) for event in ledger.waiting],
    }


def write_notices(notices: Iterable[PersonNotice]) -> list[dict[str, Any]]:
    """The records of notices, for a person or a chapter."""
    return [_write_notice(notice) for notice in notices]


def _write_notice(notice: PersonNotice) -> dict[str, Any]:
    return {
        "municipality": notice.municipality,
        "notice": notice.number,
        "seq": notice.seq,
        "reason": notice.reason.value,
        "effective_on": notice.effective_on,
        "facts": _written_facts(notice.facts) | {"protected": notice.protected or None},
        "moved_from": notice.moved_from,
        "moved_to": notice.moved_to,
        "cancels": notice.cancels,
    }


def _written_facts(facts: Facts) -> dict[str, Any]:
    # As `_asdict`, in half of the time.
    return dict(zip(Facts._fields, facts, strict=True))


def _write_event(event: AccountEvent) -> dict[str, Any]:
    return {"effective_on": event.effective_on, "account": event.account._asdict()}


def read_person(stored: Stored) -> PersonAggregate:
    """The other way."""
    enrolments = [Enrolment(e["domain"], e["municipality"], e["since"]) for e in stored["enrolments"]]
    pool = [_facts(each) for each in stored["pool"]]
    return PersonAggregate(
        read_notices(stored["notices"]),
        stored["archived_segments"],
        stored["archived_until"],
        enrolments,
        [_read_event(event) for event in stored["accounts"]],
        {(each["municipality"], each["notice"]) for each in stored["cancelled"]},
        {each["domain"]: each["revision"] for each in stored["revisions"]},
        _read_view(stored["state"], enrolments, pool),
    )


def _read_view(stored: Stored, enrolments: list[Enrolment], pool: list[Facts]) -> PersonState:
    return PersonState(
        None if stored["facts"] is None else pool[stored["facts"]],
        stored["protected"],
        stored["dead"],
        stored["known_from"],
        stored["last_day"],
        stored["day_over"],
        _read_dawn(stored["start_of_day"]),
        {
            r["municipality"]: Registration(r["resident"], r["since"], pool[r["facts"]])
            for r in stored["registers"]
        },
        {d["origin"]: Departure(d["to"], d["pending"], frozenset(d["held"])) for d in stored["departures"]},
        {
            (r["domain"], r["municipality"]): DomainRow(
                r["status"], pool[r["facts"]], r["effective_on"], r["opened_on"]
            )
            for r in stored["rows"]
        },
        tuple(enrolments[index] for index in stored["missed"]),
        _read_ledger(stored),
    )


def _read_dawn(stored: Stored) -> Residence:
    under_way = ((each["origin"], each["to"]) for each in stored["departures"])
    return Residence(frozenset(stored["residences"]), frozenset(under_way))


def _read_ledger(stored: Stored) -> Ledger:
    held = stored["account"]
    return Ledger(
        None if held is None else AccountInForce(held["since"], held["open"], Account(**held["account"])),
        {each["account"]: RefusedAccount(each["kind"], each["since"]) for each in stored["refused"]},
        tuple(_read_event(event) for event in stored["waiting"]),
    )


def read_notices(stored: Iterable[Stored]) -> list[PersonNotice]:
    """The notices of a person or a chapter."""
    return [_read_notice(each) for each in stored]


def _read_notice(stored: Stored) -> PersonNotice:
    return PersonNotice(
        stored["municipality"],
        stored["notice"],
        stored["seq"],
        _REASONS[stored["reason"]],
        stored["effective_on"],
        _facts(stored["facts"]),
        bool(stored["facts"]["protected"]),
        stored["moved_from"],
        stored["moved_to"],
        stored["cancels"],
    )


def _facts(stored: Stored) -> Facts:
    return Facts._make(_FACTS(stored))


def _read_event(stored: Stored) -> AccountEvent:
    return AccountEvent(stored["effective_on"], Account(**stored["account"]))
