"""Rules of fan-out, each wrong in one way: seeded into the simulation and into chaos, whose checks must find them."""

from __future__ import annotations

from processors.fan_out import person_notices
from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import PersonState


def last_registration(state: PersonState) -> str | None:
    """Choose the registration that was received last: a false one takes the place of the person's own."""
    standing = [(entry.rank, code) for code, entry in state.registers.items() if entry.resident]
    return max(standing)[1] if standing else None


def end_any_protection(state: PersonState, notice: PersonNotice) -> None:
    """End the protection measure, whichever registration is the confirmed one."""
    person_notices._set_protected(state, notice, protected=False)
