"""What a notice does to each domain's row: the declarations' rules, prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from processors.fan_out.history import NOTHING, Facts, PersonNotice, merged
from processors.fan_out.person_state import ACTIVE, CANDIDATE, CLOSED, DomainRow, PersonState, RowKey
from schemas.reasons import FIELDS_BY_REASON, JAPANESE, NEW_THERE, Reason
from schemas.systems import DOMAINS
from schemas.systems.model import FACT_OF_COLUMN, Action, Domain

ADDRESS: Final = Facts._fields.index("address")

#: Domains in the order in which they are told.
ORDER: Final[Mapping[str, int]] = {domain: index for index, domain in enumerate(DOMAINS)}

#: Places in `Facts` of what each domain may see.
SEEN: Final[Mapping[str, tuple[int, ...]]] = {
    domain.id: tuple(index for index, name in enumerate(Facts._fields) if name in domain.facts)
    for domain in DOMAINS.values()
}


def sees(domain: str, row: DomainRow, *, protected: bool) -> tuple[object, ...]:
    """What a domain sees of its row: status, then its facts; no address while the person is protected."""
    facts = row.facts
    if protected:
        return row.status, *[None if i == ADDRESS else facts[i] for i in SEEN[domain]]
    return row.status, *[facts[i] for i in SEEN[domain]]


class DomainRule(NamedTuple):
    """A rule of the declarations: what a reason does to the rows of one domain.

    `keeps` are the facts that the rule does not bring in (None: it brings in all), `gives` those it sets itself.
    """

    domain: str
    municipal: bool
    action: Action
    keeps: frozenset[str] | None
    gives: Facts


def _prepared(domain: Domain, reason: Reason) -> DomainRule | None:
    rule = domain.rule(reason)
    action = rule.action
    if action is Action.NONE and domain.municipal and reason in NEW_THERE:
        action = Action.UPDATE  # entered once more where they are resident: an open row follows the register
        brought = domain.facts
    else:
        brought = frozenset(FACT_OF_COLUMN[column] for column in rule.fields)
    if action is Action.NONE:
        return None
    keeps = (domain.facts & FIELDS_BY_REASON[reason]) - brought if action is Action.UPDATE else frozenset()
    gives = Facts(**{FACT_OF_COLUMN[column]: value for column, value in rule.sets.items()})  # type: ignore[arg-type]
    return DomainRule(domain.id, domain.municipal, action, keeps or None, gives if rule.sets else NOTHING)


#: By reason, what it does in the domains that it concerns.
RULES: Final[Mapping[Reason, tuple[DomainRule, ...]]] = {
    reason: tuple(rule for domain in DOMAINS.values() if (rule := _prepared(domain, reason)) is not None)
    for reason in JAPANESE
}


@dataclass(slots=True)
class FactChanges:
    """What a notice brings: applied to equal facts it gives one object, so that rows share their facts.

    `held` are the municipal domains that held a mover at the municipality moved from.
    """

    notice: PersonNotice
    held: frozenset[str] = frozenset()
    _done: dict[int, tuple[Facts, Facts]] = field(default_factory=dict)

    def to(self, facts: Facts) -> Facts:
        """`facts` after the notice."""
        done = self._done.get(id(facts))
        if done is None:
            done = self._done[id(facts)] = (facts, merged(facts, self.notice.facts))
        return done[1]


def apply_rules(view: PersonState, changes: FactChanges) -> None:
    """Changes the rows by the rules of the notice's reason."""
    notice = changes.notice
    for rule in RULES[notice.reason]:
        key = (rule.domain, notice.municipality if rule.municipal else None)
        after = _after(rule, view, key, changes)
        if after is not None:
            put_row(view, key, after, notice.effective_on)


def _after(rule: DomainRule, view: PersonState, key: RowKey, changes: FactChanges) -> DomainRow | None:
    """The row after the rule; None where it does nothing."""
    row, day = view.rows.get(key), changes.notice.effective_on
    if row is not None and row.open:
        return _open_row_after(rule, row, changes)
    facts = facts_for(view, key)
    if rule.action is Action.OPEN and facts is not None:
        return DomainRow(ACTIVE, facts, day, day)
    candidate = rule.action is Action.OPEN_CANDIDATE or (
        rule.action is Action.OPEN_CANDIDATE_IF_HELD_AT_ORIGIN and rule.domain in changes.held
    )
    return DomainRow(CANDIDATE, facts, day, day) if candidate and facts is not None else None


def _open_row_after(rule: DomainRule, row: DomainRow, changes: FactChanges) -> DomainRow:
    if rule.action is Action.CLOSE:
        return row._replace(status=CLOSED, facts=without_address(row.facts))
    facts = changes.to(row.facts)
    if rule.keeps is not None:
        facts = facts._replace(**{name: getattr(row.facts, name) for name in sorted(rule.keeps)})
    facts = merged(facts, rule.gives)
    return row._replace(facts=facts, status=ACTIVE if rule.action is Action.OPEN else row.status)


def facts_for(view: PersonState, key: RowKey) -> Facts | None:
    """The facts with which a row opens: the municipality's own, or the latest from anywhere."""
    municipality = key[1]
    if municipality is None:
        return view.facts
    registration = view.registers.get(municipality)
    return registration.facts if registration is not None else None


def without_address(facts: Facts) -> Facts:
    """What a closed row keeps."""
    return facts._replace(address=None)


def put_row(view: PersonState, key: RowKey, after: DomainRow, day: date) -> None:
    """Sets a row; its day moves on only where the domain sees a difference."""
    before = view.rows.get(key)
    if before is not None:
        domain, protected = key[0], view.protected
        same = sees(domain, before, protected=protected) == sees(domain, after, protected=protected)
        after = after._replace(effective_on=before.effective_on if same else day)
    view.rows[key] = after
