"""Conflicts: facts of one person that contradict each other. A clerk decides; the mesh opens and withdraws them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import combinations
from typing import NamedTuple

from processors.fan_out.person_state import PersonState


class Conflict(NamedTuple):
    """A conflict: the fields of record `ConflictChanged` except its status."""

    id: str
    kind: str
    person: str
    effective_on: date
    domain: str | None = None
    municipality: str | None = None
    other_municipality: str | None = None


def conflicts(person: str, state: PersonState) -> dict[str, Conflict]:
    """Return a person's conflicts by ID. The ID is derived from the cause: the same cause gives the same conflict."""
    all_kinds = (*_enrolments(person, state), *_registrations(person, state), *_accounts(person, state))
    return {conflict.id: conflict for conflict in all_kinds}


def _enrolments(person: str, state: PersonState) -> Iterator[Conflict]:
    for domain, municipality, since in state.conflicting_enrolments:
        id_ = f"enrolment/{person}/{domain}/{municipality or '-'}/{since}"
        yield Conflict(id_, "ENROLMENT_WITHOUT_RESIDENT", person, since, domain, municipality)


def _registrations(person: str, state: PersonState) -> Iterator[Conflict]:
    """Yield a conflict for each pair of municipalities where the person is resident at the same time.

    Both registrations stay valid until a clerk decides or a late notice ends one of them.
    """
    resident = sorted(code for code, registration in state.registers.items() if registration.resident)
    for one, other in combinations(resident, 2):
        since = max(state.registers[one].since, state.registers[other].since)
        id_ = f"registered-twice/{person}/{one}/{other}"
        yield Conflict(id_, "REGISTERED_TWICE", person, since, None, one, other)


def _accounts(person: str, state: PersonState) -> Iterator[Conflict]:
    for event in state.ledger.pending:  # The person isn't known yet, so the holder's name can't be checked.
        id_ = f"account/{person}/{event.account.account}"
        yield Conflict(id_, "ACCOUNT_OTHER_NAME", person, event.effective_on)
    for account_id, conflict in sorted(state.ledger.in_conflict.items()):
        yield Conflict(f"account/{person}/{account_id}", conflict.kind, person, conflict.since)


def differences(person: str, before: PersonState, after: PersonState) -> Iterator[tuple[str, Conflict]]:
    """Yield new or changed conflicts with status OPEN and ended ones with status WITHDRAWN, in the order of the IDs."""
    if not (_may_have_conflicts(before) or _may_have_conflicts(after)):
        return
    old, new = conflicts(person, before), conflicts(person, after)
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in new:
            yield "WITHDRAWN", old[id_]
        elif new[id_] != old.get(id_):
            yield "OPEN", new[id_]


def _may_have_conflicts(state: PersonState) -> bool:
    """Return quickly whether a person can have any conflict: nearly all persons have none."""
    if state.conflicting_enrolments or state.ledger.in_conflict or state.ledger.pending:
        return True
    return sum(registration.resident for registration in state.registers.values()) > 1
