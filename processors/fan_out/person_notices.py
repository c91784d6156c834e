"""The effect of one notice on the person state, applied in the order of effect."""

from __future__ import annotations

from processors.fan_out.domains import FactChanges, apply_rules
from processors.fan_out.effective_order import ENDS_RESIDENCE, destination
from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import ABROAD_CODE, Departure, PersonState, Registration
from processors.fan_out.protections import has_visible_address, protections_after
from schemas.reasons import NEW_THERE, Reason
from schemas.systems import DOMAINS
from schemas.systems.model import ABROAD


def apply_notice(state: PersonState, notice: PersonNotice) -> None:
    """Change the state by one notice.

    A notice about a person who isn't resident there at this point of the order changes no row. A protection measure
    applies even then.
    """
    if notice.begins_protection:
        state.ever_protected = True
        _set_protected(state, notice, protected=True)
    elif notice.reason is Reason.PROTECTION_ENDED:
        _set_protected(state, notice, protected=False)
    if notice.reason in NEW_THERE:
        _arrive(state, notice)
    elif state.resident_in(notice.municipality):
        _change(state, notice)


def _set_protected(state: PersonState, notice: PersonNotice, *, protected: bool) -> None:
    """Begin or end the measure; the day of each open row whose address it withholds or restores is the notice's."""
    if state.protected == protected:
        return
    state.protected = protected
    state.protections = protections_after(state.protections, notice)
    for key, row in state.rows.items():
        if has_visible_address(key, row):
            state.rows[key] = row._replace(effective_on=notice.effective_on)


def _arrive(state: PersonState, notice: PersonNotice) -> None:
    """Apply a notice that makes the person a resident."""
    open_at_origin = _domains_open_at(state, notice.moved_from)
    here, day = notice.municipality, notice.effective_on
    since = state.registers[here].since if state.resident_in(here) else day
    state.registers[here] = Registration(True, since, notice.facts)
    state.facts = notice.facts
    state.known_from = state.known_from or day
    _end_departures(state, notice)
    apply_rules(state, FactChanges(notice, open_at_origin))


def _domains_open_at(state: PersonState, origin: str | None) -> frozenset[str]:
    """Return the municipal domains whose row at the origin is open, or was until the move out."""
    open_now = _open_rows(state, origin)
    departure = state.departures.get(origin) if origin is not None else None
    return open_now | departure.open_domains if departure is not None else open_now


def _open_rows(state: PersonState, municipality: str | None) -> frozenset[str]:
    if municipality is None:
        return frozenset()
    keys = ((domain, municipality) for domain in DOMAINS)
    return frozenset(key[0] for key in keys if (row := state.rows.get(key)) is not None and row.open)


def _end_departures(state: PersonState, notice: PersonNotice) -> None:
    """Remove the move out of this municipality, and set the moves out that this move in completes to not pending."""
    state.departures.pop(notice.municipality, None)
    for origin, departure in state.departures.items():
        from_abroad = notice.reason is Reason.MOVED_IN_FROM_ABROAD and departure.to == ABROAD_CODE
        if departure.pending and (from_abroad or origin == notice.moved_from):
            state.departures[origin] = departure._replace(pending=False)


def _change(state: PersonState, notice: PersonNotice) -> None:
    """Apply a notice by which a resident changes, leaves or dies."""
    here, changes = notice.municipality, FactChanges(notice)
    registration = state.registers[here]
    if notice.reason in ENDS_RESIDENCE:
        _leave(state, notice)
    resident = notice.reason not in ENDS_RESIDENCE
    state.registers[here] = Registration(resident, registration.since, changes.apply_to(registration.facts))
    if state.facts is not None:
        state.facts = changes.apply_to(state.facts)
        if notice.reason is Reason.MOVED_ABROAD:
            state.facts = state.facts._replace(address=ABROAD)
    apply_rules(state, changes)


def _leave(state: PersonState, notice: PersonNotice) -> None:
    here = notice.municipality
    if notice.reason is Reason.DIED:
        state.dead = True
        state.departures.pop(here, None)
    else:
        open_domains = _open_rows(state, here) if notice.reason is Reason.MOVED_OUT else frozenset[str]()
        state.departures[here] = Departure(destination(notice), True, open_domains)
