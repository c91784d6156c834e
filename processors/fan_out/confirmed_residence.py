"""Confirmed residence: of the registrations that stand, the one whose word counts outside its own municipality.

The rules are in docs/rules.md, "Confirmed residence", the reasons in docs/decisions/confirmed-residence.md.
"""

from __future__ import annotations

from processors.fan_out.history import NO_DECISIONS
from processors.fan_out.person_state import ABROAD_CODE, PersonState, Registration, ResidenceEnd
from schemas.reasons import Reason


def choose_confirmed(state: PersonState) -> str | None:
    """Return the municipality of the registration that is confirmed from here on; None if none can be.

    If an operator has preferred one of the registrations that stand, mark the others as refused.
    """
    if len(state.registers) == 1 and state.decisions is NO_DECISIONS:  # Nearly always.
        [(only, entry)] = state.registers.items()
        return only if entry.resident and can_be_confirmed(state, only, entry) else None
    standing = {code: entry for code, entry in state.registers.items() if entry.resident}
    preferred = {
        code for code, entry in standing.items() if (code, entry.notice) in state.decisions.preferred
    }
    if preferred:
        for code, entry in standing.items():
            if code not in preferred and not entry.refused:
                state.registers[code] = standing[code] = entry._replace(refused=True)
    candidates = [
        (entry.rank, entry.since, code)
        for code, entry in standing.items()
        if (code in preferred if preferred else can_be_confirmed(state, code, entry))
    ]
    return min(candidates)[-1] if candidates else None


def can_be_confirmed(state: PersonState, municipality: str, entry: Registration) -> bool:
    """Return whether a registration can be confirmed without an operator's decision."""
    if entry.refused or (municipality, entry.notice) in state.decisions.refused:
        return False
    for end in reversed(state.ends):
        # A registration that a cancellation brought back has an end of its own behind it.
        if end.registration != (municipality, entry.notice):
            return _allows(end, municipality, entry)
    return True


def _allows(end: ResidenceEnd, municipality: str, entry: Registration) -> bool:
    """Return whether a person whose residence ended so can be registered there.

    A move in must be named by the move out. A first registration, a birth or a move in from abroad contradicts what
    was said at the end of an earlier residence only if it was received after the registration there.
    """
    moved_in = entry.reason is Reason.MOVED_IN
    if end.destination == municipality or (end.destination == ABROAD_CODE and not moved_in):
        return True
    return not moved_in and entry.received < end.rank
