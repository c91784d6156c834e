"""Conflicts: facts of one person that contradict each other. A clerk decides; the mesh opens and withdraws them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.person_state import PersonState

OPEN: Final = "OPEN"
SETTLED: Final = "SETTLED"
WITHDRAWN: Final = "WITHDRAWN"


class Conflict(NamedTuple):
    """A conflict: the fields of record `ConflictChanged`. `status` is SETTLED once an operator has decided about it."""

    id: str
    kind: str
    person: str
    effective_on: date
    domain: str | None = None
    municipality: str | None = None
    other_municipality: str | None = None
    status: str = OPEN
    entity: str | None = None
    number: str | None = None
    code: str | None = None


def conflicts(person: str, state: PersonState) -> dict[str, Conflict]:
    """Return a person's conflicts by ID. The ID is derived from the cause: the same cause gives the same conflict."""
    all_kinds = (
        *_enrolments(person, state),
        *_registrations(person, state),
        *_unconfirmed_notices(person, state),
        *_accounts(person, state),
    )
    return {conflict.id: conflict for conflict in all_kinds}


def _enrolments(person: str, state: PersonState) -> Iterator[Conflict]:
    for domain, municipality, since, _ in state.conflicting_enrolments:
        id_ = f"enrolment/{person}/{domain}/{municipality or '-'}/{since}"
        yield Conflict(id_, "ENROLMENT_WITHOUT_RESIDENT", person, since, domain, municipality)


def _registrations(person: str, state: PersonState) -> Iterator[Conflict]:
    """Yield a conflict for each registration that stands and is not the confirmed one, or only by a decision.

    It stays until an operator settles it, or a notice ends one of the registrations. Where a protected person is
    registered otherwise is not said.
    """
    for code, entry in sorted(state.registers.items()):
        preferred = (code, entry.notice) in state.decisions.preferred
        if not entry.resident or (code == state.confirmed and not preferred):
            continue
        id_, since = f"registration/{person}/{code}/{entry.notice}", entry.since
        other = None if code == state.confirmed else state.confirmed
        kind = "REGISTRATION_UNCONFIRMED" if other is None else "REGISTERED_TWICE"
        if other is not None:
            since = max(since, state.registers[other].since)
        settled = preferred or entry.refused or (code, entry.notice) in state.decisions.refused
        shown = None if state.protected else other
        yield Conflict(id_, kind, person, since, None, code, shown, SETTLED if settled else OPEN)


def _unconfirmed_notices(person: str, state: PersonState) -> Iterator[Conflict]:
    for kind, municipality, number, day in state.unconfirmed:
        yield Conflict(f"notice/{person}/{municipality}/{number}", kind, person, day, None, municipality)


def _accounts(person: str, state: PersonState) -> Iterator[Conflict]:
    for event in state.ledger.pending:  # The person isn't known yet, so the holder's name can't be checked.
        id_ = f"account/{person}/{event.account.account}"
        yield Conflict(id_, "ACCOUNT_OTHER_NAME", person, event.effective_on)
    for account_id, conflict in sorted(state.ledger.in_conflict.items()):
        yield Conflict(f"account/{person}/{account_id}", conflict.kind, person, conflict.since)


def differences(person: str, before: PersonState, after: PersonState) -> Iterator[Conflict]:
    """Yield new and changed conflicts, and ended ones with status WITHDRAWN, in the order of the IDs."""
    if not (_may_have_conflicts(before) or _may_have_conflicts(after)):
        return
    old, new = conflicts(person, before), conflicts(person, after)
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in new:
            yield old[id_]._replace(status=WITHDRAWN)
        elif new[id_] != old.get(id_):
            yield new[id_]


def _may_have_conflicts(state: PersonState) -> bool:
    """Return quickly whether a person can have any conflict: nearly all persons have none."""
    if state.conflicting_enrolments or state.unconfirmed or state.decisions.preferred:
        return True
    if state.ledger.in_conflict or state.ledger.pending:
        return True
    if len(state.registers) == 1 and state.confirmed in state.registers:
        return False
    return any(entry.resident and code != state.confirmed for code, entry in state.registers.items())
