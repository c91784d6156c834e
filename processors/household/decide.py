"""The rules by which a municipality's list takes a notice or refuses it, whole.

Source: samples/README.md, "Cancellation", "Faulty input" and "A line of JSON". Intake has held the notice to its form.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

from processors.household.local import ResidenceEntry, day_number, household_given, step_of
from processors.household.register import ACCEPTED, REJECTED, Register, RegisterEntry
from processors.rejections import RejectionCode
from schemas.reasons import CANCELLABLE, NEW_THERE, Reason

#: A register may list these late: whom they name is judged on their day of effect.
LISTED_LATE = frozenset({Reason.NAME_CHANGED, Reason.CORRECTED})


class FactsRef(NamedTuple):
    """What a notice gives of a person, as far as rules look; all of it stands where `place` says (None: nothing)."""

    household: str | None = None
    place: int | None = None


NO_FACTS: Final = FactsRef()


class PendingNotice(NamedTuple):
    """A notice at the end of its municipality's list, before it is judged.

    `persons` are those it names with their facts; None where it means `household` and changes `to` for each resident.
    """

    municipality: str
    number: str
    reason: Reason
    effective_on: date
    digest: str
    resubmitted: bool = False
    household: str | None = None
    cancels: str | None = None
    persons: tuple[tuple[str, FactsRef], ...] | None = None
    to: FactsRef | None = None


class Accepted(NamedTuple):
    """What an accepted notice comes to: its place in the list, and the facts it gives for each person."""

    seq: int
    persons: tuple[tuple[str, FactsRef], ...]


def decide(notice: PendingNotice, register: Register) -> Accepted | RejectionCode:
    """Judges a notice at its place in the list, and enters it there if it is accepted.

    A refused notice changes nothing but the memory of its hand-over: its number stays free.
    """
    verdict = register.verdict_of(notice.digest)
    if verdict == ACCEPTED or (verdict == REJECTED and not notice.resubmitted):
        return RejectionCode.DUPLICATE
    decided = _judge(notice, register)
    register.remember(notice.digest, REJECTED if isinstance(decided, RejectionCode) else ACCEPTED)
    return decided


def _judge(notice: PendingNotice, register: Register) -> Accepted | RejectionCode:
    if register.listed(notice.number) is not None:
        return RejectionCode.NUMBER_TAKEN
    persons = _concerned(notice, register)
    if isinstance(persons, RejectionCode):
        return persons
    if notice.reason is Reason.CANCELLED:
        return _cancel(notice, persons, register)
    refusal = _unknown(notice, persons, register)
    return refusal or _enter(notice, persons, register)


def _concerned(notice: PendingNotice, register: Register) -> tuple[tuple[str, FactsRef], ...] | RejectionCode:
    """The persons named, or every resident of the household meant, as the list has them now."""
    if notice.persons is not None:
        repeated = len({person for person, _ in notice.persons}) < len(notice.persons)
        return RejectionCode.PERSON_REPEATED if repeated else notice.persons
    if notice.reason in NEW_THERE:
        return RejectionCode.PERSONS_MISSING
    members = register.members(notice.household) if notice.household is not None else ()
    facts = notice.to or NO_FACTS
    return tuple((person, facts) for person in members) or RejectionCode.HOUSEHOLD_UNKNOWN


def _unknown(
    notice: PendingNotice, persons: Iterable[tuple[str, FactsRef]], register: Register
) -> RejectionCode | None:
    """A birth's code must be new there; who isn't new must be resident there."""
    locals_ = [register.local(person) for person, _ in persons]
    if notice.reason in NEW_THERE:
        born_known = notice.reason is Reason.BORN and any(local.known for local in locals_)
        return RejectionCode.BIRTH_KNOWN if born_known else None
    if notice.reason in LISTED_LATE and notice.persons is not None:
        place = register.length + 1
        known = all(local.resident_at(day_number(notice.effective_on), place) for local in locals_)
    else:
        known = all(local.resident for local in locals_)
    return None if known else RejectionCode.RESIDENT_UNKNOWN


def _enter(notice: PendingNotice, persons: tuple[tuple[str, FactsRef], ...], register: Register) -> Accepted:
    seq, step = register.next_seq(), step_of(notice.reason)
    for person, facts in persons:
        mark = ResidenceEntry(
            day_number(notice.effective_on), seq, step, household_given(notice.reason, facts.household)
        )
        register.move(person, register.local(person).with_mark(mark))
    concerned = tuple(person for person, _ in persons)
    register.enter(notice.number, RegisterEntry(notice.reason, notice.effective_on, seq, concerned))
    return Accepted(seq, persons)


def _cancel(
    notice: PendingNotice, named: tuple[tuple[str, FactsRef], ...], register: Register
) -> Accepted | RejectionCode:
    """The cancelled notice's marks go; the cancellation concerns its persons, and whom else it names."""
    target = register.listed(notice.cancels) if notice.cancels is not None else None
    refusal = _not_cancellable(target, register)
    if target is None or refusal is not None:
        return refusal or RejectionCode.CANCELS_UNKNOWN
    if not all(register.local(person).resident for person, _ in named):
        return RejectionCode.RESIDENT_UNKNOWN
    for person in target.persons:
        register.move(person, register.local(person).without(target.seq))
    register.enter(notice.cancels or "", target._replace(cancelled=True))
    concerned = tuple(dict.fromkeys((*target.persons, *(person for person, _ in named))))
    seq = register.next_seq()
    register.enter(notice.number, RegisterEntry(Reason.CANCELLED, notice.effective_on, seq, concerned))
    return Accepted(seq, tuple((person, NO_FACTS) for person in concerned))


def _not_cancellable(target: RegisterEntry | None, register: Register) -> RejectionCode | None:
    if target is None:
        return RejectionCode.CANCELS_UNKNOWN
    if target.reason not in CANCELLABLE:
        return RejectionCode.CANCELS_NOT_CANCELLABLE
    if target.cancelled:
        return RejectionCode.CANCELS_CANCELLED
    day, locals_ = day_number(target.effective_on), map(register.local, target.persons)
    overtaken = any(local.later_than(day, target.seq) for local in locals_)
    return RejectionCode.CANCELS_OVERTAKEN if overtaken else None
