"""The rules by which a municipality's list takes a notice or refuses it, whole.

Source: samples/README.md, "Cancellation", "Faulty input" and "A line of JSON". Intake has held the notice to its form.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

from processors.household.local import Mark, day_number, household_given, step_of
from processors.household.register import ACCEPTED, REFUSED, Listed, Register
from processors.refusals import Refusal
from schemas.reasons import CANCELLABLE, NEW_THERE, Reason

#: A register may list these late: whom they name is judged on their day of effect.
LISTED_LATE = frozenset({Reason.NAME_CHANGED, Reason.CORRECTED})


class Facts(NamedTuple):
    """What a notice gives of a person, as far as rules look; all of it stands where `place` says (None: nothing)."""

    household: str | None = None
    place: int | None = None


NO_FACTS: Final = Facts()


class Notice(NamedTuple):
    """A notice at the end of its municipality's list, before it is judged.

    `persons` are those it names with their facts; None where it means `household` and changes `to` for each resident.
    """

    municipality: str
    number: str
    reason: Reason
    effective_on: date
    digest: str
    resent: bool = False
    household: str | None = None
    cancels: str | None = None
    persons: tuple[tuple[str, Facts], ...] | None = None
    to: Facts | None = None


class Accepted(NamedTuple):
    """What an accepted notice comes to: its place in the list, and the facts it gives for each person."""

    seq: int
    persons: tuple[tuple[str, Facts], ...]


def decide(notice: Notice, register: Register) -> Accepted | Refusal:
    """Judges a notice at its place in the list, and enters it there if it is accepted.

    A refused notice changes nothing but the memory of its hand-over: its number stays free.
    """
    verdict = register.verdict_of(notice.digest)
    if verdict == ACCEPTED or (verdict == REFUSED and not notice.resent):
        return Refusal.DUPLICATE
    decided = _judge(notice, register)
    register.remember(notice.digest, REFUSED if isinstance(decided, Refusal) else ACCEPTED)
    return decided


def _judge(notice: Notice, register: Register) -> Accepted | Refusal:
    if register.listed(notice.number) is not None:
        return Refusal.NUMBER_TAKEN
    persons = _concerned(notice, register)
    if isinstance(persons, Refusal):
        return persons
    if notice.reason is Reason.CANCELLED:
        return _cancel(notice, persons, register)
    refusal = _unknown(notice, persons, register)
    return refusal or _enter(notice, persons, register)


def _concerned(notice: Notice, register: Register) -> tuple[tuple[str, Facts], ...] | Refusal:
    """The persons named, or every resident of the household meant, as the list has them now."""
    if notice.persons is not None:
        repeated = len({person for person, _ in notice.persons}) < len(notice.persons)
        return Refusal.PERSON_REPEATED if repeated else notice.persons
    if notice.reason in NEW_THERE:
        return Refusal.PERSONS_MISSING
    members = register.members(notice.household) if notice.household is not None else ()
    facts = notice.to or NO_FACTS
    return tuple((person, facts) for person in members) or Refusal.HOUSEHOLD_UNKNOWN


def _unknown(notice: Notice, persons: Iterable[tuple[str, Facts]], register: Register) -> Refusal | None:
    """A birth's code must be new there; who isn't new must be resident there."""
    locals_ = [register.local(person) for person, _ in persons]
    if notice.reason in NEW_THERE:
        born_known = notice.reason is Reason.BORN and any(local.known for local in locals_)
        return Refusal.BIRTH_KNOWN if born_known else None
    if notice.reason in LISTED_LATE and notice.persons is not None:
        place = register.length + 1
        known = all(local.resident_at(day_number(notice.effective_on), place) for local in locals_)
    else:
        known = all(local.resident for local in locals_)
    return None if known else Refusal.RESIDENT_UNKNOWN


def _enter(notice: Notice, persons: tuple[tuple[str, Facts], ...], register: Register) -> Accepted:
    seq, step = register.next_place(), step_of(notice.reason)
    for person, facts in persons:
        mark = Mark(
            day_number(notice.effective_on), seq, step, household_given(notice.reason, facts.household)
        )
        register.move(person, register.local(person).with_mark(mark))
    concerned = tuple(person for person, _ in persons)
    register.enter(notice.number, Listed(notice.reason, notice.effective_on, seq, concerned))
    return Accepted(seq, persons)


def _cancel(notice: Notice, named: tuple[tuple[str, Facts], ...], register: Register) -> Accepted | Refusal:
    """The cancelled notice's marks go; the cancellation concerns its persons, and whom else it names."""
    target = register.listed(notice.cancels) if notice.cancels is not None else None
    refusal = _not_cancellable(target, register)
    if target is None or refusal is not None:
        return refusal or Refusal.CANCELS_UNKNOWN
    if not all(register.local(person).resident for person, _ in named):
        return Refusal.RESIDENT_UNKNOWN
    for person in target.persons:
        register.move(person, register.local(person).without(target.seq))
    register.enter(notice.cancels or "", target._replace(cancelled=True))
    concerned = tuple(dict.fromkeys((*target.persons, *(person for person, _ in named))))
    seq = register.next_place()
    register.enter(notice.number, Listed(Reason.CANCELLED, notice.effective_on, seq, concerned))
    return Accepted(seq, tuple((person, NO_FACTS) for person in concerned))


def _not_cancellable(target: Listed | None, register: Register) -> Refusal | None:
    if target is None:
        return Refusal.CANCELS_UNKNOWN
    if target.reason not in CANCELLABLE:
        return Refusal.CANCELS_NOT_CANCELLABLE
    if target.cancelled:
        return Refusal.CANCELS_CANCELLED
    day, locals_ = day_number(target.effective_on), map(register.local, target.persons)
    overtaken = any(local.later_than(day, target.seq) for local in locals_)
    return Refusal.CANCELS_OVERTAKEN if overtaken else None
