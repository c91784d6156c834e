"""What an enrolment does, after all notices of its day."""

from __future__ import annotations

from datetime import date

from processors.fan_out.domains import facts_for, put_row
from processors.fan_out.history import Enrolment
from processors.fan_out.person_state import ACTIVE, DomainRow, PersonState
from schemas.systems import DOMAINS
from schemas.systems.model import Action


def apply_enrolment(view: PersonState, enrolment: Enrolment) -> None:
    """The domain holds the person from now on; where it can't, the enrolment is a conflict and changes nothing."""
    if not _possible(view, enrolment):
        view.missed = tuple(sorted((*view.missed, enrolment), key=_name))
        return
    rule = DOMAINS[enrolment.domain].enrolment
    key = (enrolment.domain, enrolment.municipality)
    facts = facts_for(view, key)
    if rule is not None and rule.action is Action.OPEN and facts is not None:
        row, day = view.rows.get(key), enrolment.since
        opened_on = row.opened_on if row is not None and row.open else day
        put_row(view, key, DomainRow(ACTIVE, facts, day, opened_on), day)


def _name(enrolment: Enrolment) -> tuple[str, str, date]:
    return enrolment.domain, enrolment.municipality or "", enrolment.since


def _possible(view: PersonState, enrolment: Enrolment) -> bool:
    """Not of the dead, nor (municipal domains) of somebody who is no resident there, nor of somebody unheard of."""
    if view.dead or view.facts is None:
        return False
    return not DOMAINS[enrolment.domain].municipal or view.resident_in(enrolment.municipality)
