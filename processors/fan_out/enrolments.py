"""The effect of an enrolment, applied after all notices of its day."""

from __future__ import annotations

from datetime import date

from processors.fan_out.domains import facts_for, put_row
from processors.fan_out.history import Enrolment
from processors.fan_out.person_state import ACTIVE, DomainRow, PersonState
from schemas.systems import DOMAINS
from schemas.systems.model import Action


def apply_enrolment(state: PersonState, enrolment: Enrolment) -> None:
    """Open the domain's row. If the person can't be enrolled, the enrolment is a conflict and changes nothing."""
    if not _can_be_enrolled(state, enrolment):
        state.conflicting_enrolments = tuple(
            sorted((*state.conflicting_enrolments, enrolment), key=_sort_key)
        )
        return
    rule = DOMAINS[enrolment.domain].enrolment
    key = (enrolment.domain, enrolment.municipality)
    facts = facts_for(state, key)
    if rule is not None and rule.action is Action.OPEN and facts is not None:
        row, day = state.rows.get(key), enrolment.since
        opened_on = row.opened_on if row is not None and row.open else day
        put_row(state, key, DomainRow(ACTIVE, facts, day, opened_on), day)


def _sort_key(enrolment: Enrolment) -> tuple[str, str, date]:
    return enrolment.domain, enrolment.municipality or "", enrolment.since


def _can_be_enrolled(state: PersonState, enrolment: Enrolment) -> bool:
    """Return whether the person is known and alive and, in a municipal domain, resident in that municipality."""
    if state.dead or state.facts is None:
        return False
    return not DOMAINS[enrolment.domain].municipal or state.resident_in(enrolment.municipality)
