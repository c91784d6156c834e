"""What one notice does to the view, at its place in the order of effect."""

from __future__ import annotations

from datetime import date

from processors.fan_out.domains import ADDRESS, SEEN, FactChanges, apply_rules
from processors.fan_out.effective_order import ENDS_RESIDENCE, destination
from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import ABROAD_CODE, Departure, PersonState, Registration
from schemas.reasons import NEW_THERE, Reason
from schemas.systems import DOMAINS
from schemas.systems.model import ABROAD


def apply_notice(view: PersonState, notice: PersonNotice) -> None:
    """Changes the view by one notice.

    A notice for somebody who is not resident there at this place of the order changes no row; a protection counts.
    """
    if notice.protected or notice.reason is Reason.PROTECTION_BEGUN:
        _protect(view, notice.effective_on, protected=True)
    elif notice.reason is Reason.PROTECTION_ENDED:
        _protect(view, notice.effective_on, protected=False)
    if notice.reason in NEW_THERE:
        _arrive(view, notice)
    elif view.resident_in(notice.municipality):
        _change(view, notice)


def _protect(view: PersonState, day: date, *, protected: bool) -> None:
    """The address goes from every open row, or comes back to it."""
    if view.protected == protected:
        return
    view.protected = protected
    for key, row in view.rows.items():
        if row.open and ADDRESS in SEEN[key[0]] and row.facts.address is not None:
            view.rows[key] = row._replace(effective_on=day)


def _arrive(view: PersonState, notice: PersonNotice) -> None:
    held = _held_at(view, notice.moved_from)
    here, day = notice.municipality, notice.effective_on
    since = view.registers[here].since if view.resident_in(here) else day
    view.registers[here] = Registration(True, since, notice.facts)
    view.facts = notice.facts
    view.known_from = view.known_from or day
    _end_departures(view, notice)
    apply_rules(view, FactChanges(notice, held))


def _held_at(view: PersonState, origin: str | None) -> frozenset[str]:
    """Municipal domains whose row at the municipality moved from was open until the move out (or still is)."""
    open_there = _open_rows(view, origin)
    departure = view.departures.get(origin) if origin is not None else None
    return open_there | departure.held if departure is not None else open_there


def _open_rows(view: PersonState, municipality: str | None) -> frozenset[str]:
    if municipality is None:
        return frozenset()
    keys = ((domain, municipality) for domain in DOMAINS)
    return frozenset(key[0] for key in keys if (row := view.rows.get(key)) is not None and row.open)


def _end_departures(view: PersonState, notice: PersonNotice) -> None:
    """The move in from there has followed; who comes back has not left any more."""
    view.departures.pop(notice.municipality, None)
    for origin, departure in view.departures.items():
        back = notice.reason is Reason.MOVED_IN_FROM_ABROAD and departure.to == ABROAD_CODE
        if departure.pending and (back or origin == notice.moved_from):
            view.departures[origin] = departure._replace(pending=False)


def _change(view: PersonState, notice: PersonNotice) -> None:
    """Somebody resident there changes, leaves or dies."""
    here, changes = notice.municipality, FactChanges(notice)
    registration = view.registers[here]
    if notice.reason in ENDS_RESIDENCE:
        _leave(view, notice)
    resident = notice.reason not in ENDS_RESIDENCE
    view.registers[here] = Registration(resident, registration.since, changes.to(registration.facts))
    if view.facts is not None:
        view.facts = changes.to(view.facts)
        if notice.reason is Reason.MOVED_ABROAD:
            view.facts = view.facts._replace(address=ABROAD)
    apply_rules(view, changes)


def _leave(view: PersonState, notice: PersonNotice) -> None:
    here = notice.municipality
    if notice.reason is Reason.DIED:
        view.dead = True
        view.departures.pop(here, None)
    else:
        held = _open_rows(view, here) if notice.reason is Reason.MOVED_OUT else frozenset[str]()
        view.departures[here] = Departure(destination(notice), True, held)
