"""The rules by which a municipality's register accepts or rejects a notice, as a whole.

The rules are in docs/rules.md: "Residents and households", "Cancellation" and "Rejections and duplicates". Intake has
validated the format already.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

from processors.household.local import ResidenceEntry, day_number, effect_of, household_set_by
from processors.household.register import ACCEPTED, REJECTED, Register, RegisterEntry
from processors.rejections import RejectionCode
from schemas.reasons import CANCELLABLE, NEW_THERE, Reason

#: Maximum number of residents of a household: a notice about a household changes as many persons.
HOUSEHOLD_RESIDENTS_MAX: Final = 1000

#: A register may record these long after their day of effect: the persons must have been residents on that day.
MAY_BE_RECORDED_LATE = frozenset({Reason.NAME_CHANGED, Reason.CORRECTED})


class FactsRef(NamedTuple):
    """The facts that a notice gives of one person.

    The rules need the `household` only; `facts_row` is the row with all facts in the array of
    `processors.household.pending_notices.facts_of`, None if the notice gives none.
    """

    household: str | None = None
    facts_row: int | None = None


NO_FACTS: Final = FactsRef()

#: Persons (mesh codes) with the facts that a notice gives of each.
PersonFacts = tuple[tuple[str, FactsRef], ...]


class PendingNotice(NamedTuple):
    """A notice that its municipality's register has neither accepted nor rejected yet.

    `persons` are the persons that it names. They are None if the notice is about all residents of `household`: `to`
    are then the facts that change for each of them.
    """

    municipality: str
    number: str
    reason: Reason
    effective_on: date
    digest: str
    resubmitted: bool = False
    household: str | None = None
    cancels: str | None = None
    persons: PersonFacts | None = None
    to: FactsRef | None = None


class Accepted(NamedTuple):
    """An accepted notice: its sequence number in the register, and the persons that it changes."""

    seq: int
    persons: PersonFacts


def decide(notice: PendingNotice, register: Register) -> Accepted | RejectionCode:
    """Accept a notice and enter it in the register with the next sequence number, or return why it is rejected.

    A rejected notice changes nothing but the decision recorded for its submission: its number stays available.
    """
    earlier = register.decision_of(notice.digest)
    if earlier == ACCEPTED or (earlier == REJECTED and not notice.resubmitted):
        return RejectionCode.DUPLICATE
    decision = _decide_new(notice, register)
    register.record_decision(notice.digest, REJECTED if isinstance(decision, RejectionCode) else ACCEPTED)
    return decision


def _decide_new(notice: PendingNotice, register: Register) -> Accepted | RejectionCode:
    if register.entry(notice.number) is not None:
        return RejectionCode.NUMBER_TAKEN
    if notice.reason is Reason.CANCELLED:
        return _cancel(notice, register)
    persons = _affected_persons(notice, register)
    if isinstance(persons, RejectionCode):
        return persons
    if _makes_large_household(notice, persons, register):
        return RejectionCode.HOUSEHOLD_LARGE
    return _check_residence(notice, persons, register) or _enter(notice, persons, register)


def _affected_persons(notice: PendingNotice, register: Register) -> PersonFacts | RejectionCode:
    """Return the persons that the notice names, or all present residents of its household."""
    if notice.persons is not None:
        repeated = len({person for person, _ in notice.persons}) < len(notice.persons)
        return RejectionCode.PERSON_REPEATED if repeated else notice.persons
    if notice.reason in NEW_THERE:
        return RejectionCode.PERSONS_MISSING
    residents = register.residents_of(notice.household) if notice.household is not None else ()
    if len(residents) > HOUSEHOLD_RESIDENTS_MAX:
        return RejectionCode.HOUSEHOLD_LARGE
    facts = notice.to or NO_FACTS
    return tuple((person, facts) for person in residents) or RejectionCode.HOUSEHOLD_UNKNOWN


def _makes_large_household(notice: PendingNotice, persons: PersonFacts, register: Register) -> bool:
    """Return whether a household would have too many residents after the notice."""
    joining: dict[str, set[str]] = {}
    for person, facts in persons:
        household = household_set_by(notice.reason, facts.household)
        if household is not None:
            joining.setdefault(household, set()).add(person)
    return any(
        len(joined) + len(residents) > HOUSEHOLD_RESIDENTS_MAX
        and len(joined.union(residents)) > HOUSEHOLD_RESIDENTS_MAX
        for household, joined in joining.items()
        for residents in [register.residents_of(household)]
    )


def _check_residence(
    notice: PendingNotice, persons: Iterable[tuple[str, FactsRef]], register: Register
) -> RejectionCode | None:
    """Check that a newborn's code is new in this municipality, and that persons who aren't new are residents."""
    residents = [register.resident(person) for person, _ in persons]
    if notice.reason in NEW_THERE:
        birth_known = notice.reason is Reason.BORN and any(resident.known for resident in residents)
        return RejectionCode.BIRTH_KNOWN if birth_known else None
    if notice.reason in MAY_BE_RECORDED_LATE and notice.persons is not None:
        day, seq = day_number(notice.effective_on), register.length + 1
        all_resident = all(resident.resident_at(day, seq) for resident in residents)
    else:
        all_resident = all(resident.resident for resident in residents)
    return None if all_resident else RejectionCode.RESIDENT_UNKNOWN


def _enter(notice: PendingNotice, persons: PersonFacts, register: Register) -> Accepted:
    day, seq, effect = day_number(notice.effective_on), register.next_seq(), effect_of(notice.reason)
    for person, facts in persons:
        entry = ResidenceEntry(day, seq, effect, household_set_by(notice.reason, facts.household))
        register.update_resident(person, register.resident(person).with_entry(entry))
    codes = tuple(person for person, _ in persons)
    register.enter(notice.number, RegisterEntry(notice.reason, notice.effective_on, seq, codes))
    return Accepted(seq, persons)


def _cancel(notice: PendingNotice, register: Register) -> Accepted | RejectionCode:
    """Remove the residence entries of the cancelled notice, and enter the cancellation in the register.

    It affects the persons of the cancelled notice, and may name no others.
    """
    target = register.entry(notice.cancels) if notice.cancels is not None else None
    rejection = _check_cancellable(target, register)
    if target is None or rejection is not None:
        return rejection or RejectionCode.CANCELS_UNKNOWN
    named = [person for person, _ in notice.persons or ()]
    if len(set(named)) < len(named):
        return RejectionCode.PERSON_REPEATED
    if not set(named) <= set(target.persons):
        return RejectionCode.RESIDENT_UNKNOWN
    for person in target.persons:
        register.update_resident(person, register.resident(person).without_entry(target.seq))
    register.enter(notice.cancels or "", target._replace(cancelled=True))
    seq = register.next_seq()
    register.enter(notice.number, RegisterEntry(Reason.CANCELLED, notice.effective_on, seq, target.persons))
    return Accepted(seq, tuple((person, NO_FACTS) for person in target.persons))


def _check_cancellable(target: RegisterEntry | None, register: Register) -> RejectionCode | None:
    if target is None:
        return RejectionCode.CANCELS_UNKNOWN
    if target.reason not in CANCELLABLE:
        return RejectionCode.CANCELS_NOT_CANCELLABLE
    if target.cancelled:
        return RejectionCode.CANCELS_CANCELLED
    day, residents = day_number(target.effective_on), map(register.resident, target.persons)
    overtaken = any(resident.has_entry_after(day, target.seq) for resident in residents)
    return RejectionCode.CANCELS_OVERTAKEN if overtaken else None
