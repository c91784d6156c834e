"""The effect of a notice on each domain's row: the declared rules, prepared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import Final, NamedTuple

from processors.fan_out.history import NOTHING, Facts, PersonNotice, merge
from processors.fan_out.person_state import ACTIVE, CANDIDATE, CLOSED, DomainRow, PersonState, RowKey
from schemas.reasons import FIELDS_BY_REASON, JAPANESE, Reason
from schemas.systems import DOMAINS
from schemas.systems.model import FACT_OF_COLUMN, Action, Domain

ADDRESS: Final = Facts._fields.index("address")

#: Order in which changes for the domains are published.
DOMAIN_ORDER: Final[Mapping[str, int]] = {domain: index for index, domain in enumerate(DOMAINS)}

#: Indices in `Facts` of the facts that each domain may receive.
VISIBLE_FACTS: Final[Mapping[str, tuple[int, ...]]] = {
    domain.id: tuple(index for index, name in enumerate(Facts._fields) if name in domain.facts)
    for domain in DOMAINS.values()
}


#: Returns the facts that each domain may receive.
_SEEN: Final[Mapping[str, Callable[[Facts], object]]] = {
    domain: itemgetter(*indices) if indices else lambda _: () for domain, indices in VISIBLE_FACTS.items()
}


def visible_values(domain: str, row: DomainRow, *, protected: bool) -> tuple[object, ...]:
    """Return what a domain can see of its row: status and facts, without the address of a protected person."""
    return row.status, _SEEN[domain](_without_address(row.facts) if protected else row.facts)


class DomainRule(NamedTuple):
    """A declared rule: the effect of one reason on the rows of one domain.

    `unwritten` are the facts that the notice has but the rule doesn't write (None: it writes all). `sets` are the facts
    that the rule itself provides.
    """

    domain: str
    municipal: bool
    action: Action
    unwritten: frozenset[str] | None
    sets: Facts


def _rule_of(domain: Domain, reason: Reason) -> DomainRule | None:
    rule = domain.rule(reason)
    if rule.action is Action.NONE:
        return None
    written = frozenset(FACT_OF_COLUMN[column] for column in rule.fields)
    updates = rule.action is Action.UPDATE
    unwritten = (domain.facts & FIELDS_BY_REASON[reason]) - written if updates else frozenset()
    sets = Facts(**{FACT_OF_COLUMN[column]: value for column, value in rule.sets.items()})  # type: ignore[arg-type]
    return DomainRule(
        domain.id, domain.municipal, rule.action, unwritten or None, sets if rule.sets else NOTHING
    )


#: For each reason, the rules of the domains in which it has an effect.
RULES: Final[Mapping[Reason, tuple[DomainRule, ...]]] = {
    reason: tuple(rule for domain in DOMAINS.values() if (rule := _rule_of(domain, reason)) is not None)
    for reason in JAPANESE
}


@dataclass(slots=True)
class FactChanges:
    """The facts that a notice changes. For the same `Facts` object it returns the same result object, so rows share it.

    `open_at_origin` are the municipal domains with an open row at the municipality from which the person moves.
    """

    notice: PersonNotice
    open_at_origin: frozenset[str] = frozenset()
    _applied: dict[int, tuple[Facts, Facts]] = field(default_factory=dict)

    def apply_to(self, facts: Facts) -> Facts:
        """Return `facts` after the notice."""
        # The key is an id, so the entry also holds `facts`: while it lives, no other object can have its id.
        applied = self._applied.get(id(facts))
        if applied is None:
            applied = self._applied[id(facts)] = (facts, merge(facts, self.notice.facts))
        return applied[1]


def apply_rules(state: PersonState, changes: FactChanges, *, confirmed: bool) -> None:
    """Change the domains' rows by the rules of the notice's reason.

    If the notice's registration isn't the confirmed one, change only the municipality's own rows; no candidate opens.
    """
    notice = changes.notice
    for rule in RULES[notice.reason]:
        if not (confirmed or rule.municipal):
            continue
        key = (rule.domain, notice.municipality if rule.municipal else None)
        row = _row_after(rule, state, key, changes, confirmed=confirmed)
        if row is not None:
            put_row(state, key, row, notice.effective_on)


def update_national_rows(state: PersonState, facts: Facts, day: date) -> None:
    """Write all facts into the open rows of national domains."""
    for key, row in list(state.rows.items()):
        if key[1] is None and row.open:
            put_row(state, key, row._replace(facts=merge(row.facts, facts)), day)


def keep_days(state: PersonState, before: Mapping[RowKey, DomainRow]) -> None:
    """Give rows that look as before the day they had: a move out and what follows from it may cancel each other out."""
    for key, old in before.items():
        row = state.rows[key]
        if row.effective_on != old.effective_on and _look_the_same(state, key, old, row):
            state.rows[key] = row._replace(effective_on=old.effective_on)


def _look_the_same(state: PersonState, key: RowKey, one: DomainRow, other: DomainRow) -> bool:
    """Return whether the domain sees the same in both rows."""
    if one.facts is other.facts:
        return one.status == other.status
    values = [visible_values(key[0], row, protected=state.protected) for row in (one, other)]
    return values[0] == values[1]


def _row_after(
    rule: DomainRule, state: PersonState, key: RowKey, changes: FactChanges, *, confirmed: bool
) -> DomainRow | None:
    """Return the row after the rule; None if the rule has no effect."""
    row, day = state.rows.get(key), changes.notice.effective_on
    if row is not None and row.open:
        return _open_row_after(rule, row, changes)
    facts = facts_for(state, key)
    if rule.action is Action.OPEN and facts is not None:
        return DomainRow(ACTIVE, facts, day, day)
    candidate = rule.action is Action.OPEN_CANDIDATE or (
        rule.action is Action.OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN and rule.domain in changes.open_at_origin
    )
    if not (candidate and confirmed) or facts is None:
        return None
    return DomainRow(CANDIDATE, facts, day, day)


def _open_row_after(rule: DomainRule, row: DomainRow, changes: FactChanges) -> DomainRow:
    if rule.action is Action.CLOSE:
        return row._replace(status=CLOSED, facts=_without_address(row.facts))
    facts = changes.apply_to(row.facts)
    if rule.unwritten is not None:
        facts = facts._replace(**{name: getattr(row.facts, name) for name in sorted(rule.unwritten)})
    facts = merge(facts, rule.sets)
    return row._replace(facts=facts, status=ACTIVE if rule.action is Action.OPEN else row.status)


def facts_for(state: PersonState, key: RowKey) -> Facts | None:
    """Return the facts with which a row opens: the municipality's own, or the latest from anywhere."""
    municipality = key[1]
    if municipality is None:
        return state.facts
    registration = state.registers.get(municipality)
    return registration.facts if registration is not None else None


def _without_address(facts: Facts) -> Facts:
    return facts._replace(address=None)


def put_row(state: PersonState, key: RowKey, row: DomainRow, day: date) -> None:
    """Set a row. Its `effective_on` becomes `day` only if the domain can see a difference."""
    before = state.rows.get(key)
    if before is not None:
        same = _look_the_same(state, key, before, row)
        row = row._replace(effective_on=before.effective_on if same else day)
    state.rows[key] = row
