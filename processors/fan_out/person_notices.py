"""The effect of one notice on the person state, applied in the order of effect."""

from __future__ import annotations

from datetime import date
from typing import Final

from processors.fan_out.confirmed_residence import choose_confirmed
from processors.fan_out.domains import FactChanges, apply_rules, keep_days, update_national_rows
from processors.fan_out.effective_order import destination
from processors.fan_out.history import PersonNotice
from processors.fan_out.person_state import (
    ABROAD_CODE,
    Departure,
    PersonState,
    Registration,
    ResidenceEnd,
    UnconfirmedNotice,
)
from processors.fan_out.protections import has_visible_address, protections_after
from schemas.reasons import ENDS_RESIDENCE, NEW_THERE, Reason
from schemas.systems import DOMAINS
from schemas.systems.model import ABROAD

#: Domains with a row per municipality.
MUNICIPAL: Final = tuple(domain.id for domain in DOMAINS.values() if domain.municipal)

DEATH: Final = "DEATH_UNCONFIRMED"
PROTECTION_END: Final = "PROTECTION_END_UNCONFIRMED"


def apply_notice(state: PersonState, notice: PersonNotice) -> None:
    """Change the state by one notice.

    A notice about a person who isn't resident there at this point of the order changes no row; a protection measure
    begins even then. A notice of a municipality whose registration isn't the confirmed one changes only the rows of
    this municipality.
    """
    if notice.begins_protection:
        begin_measure(state, notice)
    elif notice.reason is Reason.PROTECTION_ENDED:
        _end_protection(state, notice)
    if notice.reason in NEW_THERE:
        _arrive(state, notice)
    elif not state.resident_in(notice.municipality):
        return
    elif notice.cancelled_by is not None:
        _come_back(state, notice)
    else:
        _change(state, notice)


def begin_measure(state: PersonState, notice: PersonNotice) -> None:
    """Begin the protection measure of a notice, unless one is in force."""
    state.ever_protected = True
    _set_protected(state, notice, protected=True)


def _end_protection(state: PersonState, notice: PersonNotice) -> None:
    """End the protection measure, by the confirmed municipality only; fail closed otherwise."""
    if state.confirmed == notice.municipality:
        _set_protected(state, notice, protected=False)
    else:
        _add_unconfirmed(state, PROTECTION_END, notice)


def _set_protected(state: PersonState, notice: PersonNotice, *, protected: bool) -> None:
    """Begin or end the measure; the day of each open row whose address it withholds or restores is the notice's."""
    if state.protected == protected:
        return
    state.protected = protected
    state.protections = protections_after(state.protections, notice)
    for key, row in state.rows.items():
        if has_visible_address(key, row):
            state.rows[key] = row._replace(effective_on=notice.effective_on)


def _add_unconfirmed(state: PersonState, kind: str, notice: PersonNotice) -> None:
    entry = UnconfirmedNotice(kind, notice.municipality, notice.number, notice.effective_on)
    state.unconfirmed = (*state.unconfirmed, entry)


def _arrive(state: PersonState, notice: PersonNotice) -> None:
    """Apply a notice that makes the person a resident; one who is a resident already keeps rank and first day."""
    here, day = notice.municipality, notice.effective_on
    open_at_origin = _domains_open_at(state, notice.moved_from)
    before = state.registers.get(here)
    if before is not None and before.resident:
        state.registers[here] = before._replace(facts=notice.facts)
    else:
        state.registers[here] = Registration(
            True, day, notice.facts, notice.reason, notice.number, notice.moved_from, notice.received
        )
    state.known_from = state.known_from or day
    _end_departures(state, notice)
    _confirm(state, day, arriving=here)
    changes = FactChanges(notice, open_at_origin)
    if state.confirmed == here:
        state.facts, state.dead = notice.facts, False
    apply_rules(state, changes, confirmed=state.confirmed == here)


def _confirm(state: PersonState, day: date, *, arriving: str | None = None) -> None:
    """Determine the confirmed registration again; if it is another one, it takes effect on this day.

    The one that is `arriving` takes effect by its own notice.
    """
    before, after = state.confirmed, choose_confirmed(state)
    if after == before:
        return
    state.confirmed = after
    if before is not None:
        state.registers[before] = state.registers[before]._replace(confirmed_on=None)
    if after is None:
        return
    entry = state.registers[after] = state.registers[after]._replace(confirmed_on=day)
    if after != arriving:
        _take_effect(state, after, entry, day)


def _take_effect(state: PersonState, municipality: str, entry: Registration, day: date) -> None:
    """Apply what a registration gave before it was confirmed: to candidates and to the rows of national domains."""
    as_notice = PersonNotice(
        municipality, entry.notice, 0, entry.reason, day, entry.facts, moved_from=entry.moved_from
    )
    state.facts, state.dead = entry.facts, False
    apply_rules(state, FactChanges(as_notice, _domains_open_at(state, entry.moved_from)), confirmed=True)
    update_national_rows(state, entry.facts, day)


def _domains_open_at(state: PersonState, origin: str | None) -> frozenset[str]:
    """Return the municipal domains whose row at the origin is open, or was until the move out."""
    open_now = _open_rows(state, origin)
    departure = state.departures.get(origin) if origin is not None else None
    return open_now | departure.open_domains if departure is not None else open_now


def _open_rows(state: PersonState, municipality: str | None) -> frozenset[str]:
    if municipality is None:
        return frozenset()
    rows = [(domain, state.rows.get((domain, municipality))) for domain in MUNICIPAL]
    return frozenset([domain for domain, row in rows if row is not None and row.open])


def _end_departures(state: PersonState, notice: PersonNotice) -> None:
    """Remove the move out of this municipality, and set the moves out that this move in completes to not pending."""
    state.departures.pop(notice.municipality, None)
    for origin, departure in state.departures.items():
        from_abroad = notice.reason is Reason.MOVED_IN_FROM_ABROAD and departure.to == ABROAD_CODE
        if departure.pending and (from_abroad or origin == notice.moved_from):
            state.departures[origin] = departure._replace(pending=False)


def _come_back(state: PersonState, notice: PersonNotice) -> None:
    """Apply a cancelled move out or death: the registration goes on, and ranks by the cancellation from here on."""
    here = notice.municipality
    entry = state.registers[here]
    if state.confirmed == here:
        state.ends = (*state.ends, _end_of(entry, notice))
    state.registers[here] = entry._replace(came_back=notice.cancelled_by)
    _confirm(state, notice.effective_on)


def _end_of(entry: Registration, notice: PersonNotice) -> ResidenceEnd:
    to = None if notice.reason is Reason.DIED else destination(notice)
    return ResidenceEnd((notice.municipality, entry.notice), entry.rank, to)


def _change(state: PersonState, notice: PersonNotice) -> None:
    """Apply a notice by which a resident changes, leaves or dies."""
    here, changes = notice.municipality, FactChanges(notice)
    entry, confirmed = state.registers[here], state.confirmed == here
    leaves = notice.reason in ENDS_RESIDENCE
    rows_before = dict(state.rows) if leaves else {}
    if leaves:
        _leave(state, notice, entry)
    state.registers[here] = state.registers[here]._replace(
        resident=not leaves, facts=changes.apply_to(entry.facts)
    )
    if confirmed and state.facts is not None:
        state.facts = changes.apply_to(state.facts)
        if notice.reason is Reason.MOVED_ABROAD:
            state.facts = state.facts._replace(address=ABROAD)
    apply_rules(state, changes, confirmed=confirmed)
    if leaves:
        _confirm(state, notice.effective_on)
        keep_days(state, rows_before)


def _leave(state: PersonState, notice: PersonNotice, entry: Registration) -> None:
    here = notice.municipality
    confirmed, died = state.confirmed == here, notice.reason is Reason.DIED
    if confirmed:
        state.ends = (*state.ends, _end_of(entry, notice))
        state.dead = died
    elif died:
        _add_unconfirmed(state, DEATH, notice)
    if died:
        state.departures.pop(here, None)
    else:
        open_domains = _open_rows(state, here) if notice.reason is Reason.MOVED_OUT else frozenset[str]()
        state.departures[here] = Departure(destination(notice), True, open_domains)
