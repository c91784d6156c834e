"""What the fold shows to contradict itself: a fact for a clerk, opened and withdrawn by difference."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import combinations
from typing import NamedTuple

from processors.fan_out.person_state import PersonState


class Conflict(NamedTuple):
    """What contradicts what; the fields of `ConflictChanged` but its status."""

    id: str
    kind: str
    person: str
    effective_on: date
    domain: str | None = None
    municipality: str | None = None
    other_municipality: str | None = None


def conflicts(person: str, view: PersonState) -> dict[str, Conflict]:
    """The conflicts of a person by id; the id is derived from the cause, so the same cause gives the same conflict."""
    found = (*_enrolments(person, view), *_registrations(person, view), *_accounts(person, view))
    return {conflict.id: conflict for conflict in found}


def _enrolments(person: str, view: PersonState) -> Iterator[Conflict]:
    for domain, municipality, since in view.missed:
        id_ = f"enrolment/{person}/{domain}/{municipality or '-'}/{since}"
        yield Conflict(id_, "ENROLMENT_WITHOUT_RESIDENT", person, since, domain, municipality)


def _registrations(person: str, view: PersonState) -> Iterator[Conflict]:
    """Resident in two municipalities at once: both registrations stand until a clerk, or a late notice, decides."""
    resident = sorted(code for code, each in view.registers.items() if each.resident)
    for one, other in combinations(resident, 2):
        since = max(view.registers[one].since, view.registers[other].since)
        id_ = f"registered-twice/{person}/{one}/{other}"
        yield Conflict(id_, "REGISTERED_TWICE", person, since, None, one, other)


def _accounts(person: str, view: PersonState) -> Iterator[Conflict]:
    for event in view.ledger.waiting:  # nothing known of the person: the name can't be told to be theirs
        id_ = f"account/{person}/{event.account.account}"
        yield Conflict(id_, "ACCOUNT_OTHER_NAME", person, event.effective_on)
    for account, refused in sorted(view.ledger.refused.items()):
        yield Conflict(f"account/{person}/{account}", refused.kind, person, refused.since)


def differences(person: str, before: PersonState, after: PersonState) -> Iterator[tuple[str, Conflict]]:
    """Conflicts that are new or another (OPEN) and those that have gone (WITHDRAWN), in a fixed order."""
    if _quiet(before) and _quiet(after):
        return
    old, new = conflicts(person, before), conflicts(person, after)
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in new:
            yield "WITHDRAWN", old[id_]
        elif new[id_] != old.get(id_):
            yield "OPEN", new[id_]


def _quiet(view: PersonState) -> bool:
    """Whether there is none, as nearly always."""
    settled = not (view.missed or view.ledger.refused or view.ledger.waiting)
    return settled and sum(each.resident for each in view.registers.values()) < 2
