"""Why a domain receives a field that a system submits, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from infra.errors import OperatorError
from infra.systems.data_flows import ACCOUNT, PERSON, undeclared_kinds
from infra.systems.descriptions import (
    Section,
    coarser_text,
    coverage_text,
    domain_of,
    history_lines,
    part_lines,
    system_of,
)
from schemas.declare import ACCOUNT as ACCOUNT_ENTITY
from schemas.declare import Coarser, Entity, Reads
from schemas.reasons import Reason
from schemas.systems import Domain, System
from schemas.systems.model import ACCOUNT_COLUMNS, FACT_OF_COLUMN, Action, Rule

#: What each action does to a column that the rule writes.
_EFFECTS: Final = {
    Action.OPEN: "opens the row with it",
    Action.OPEN_CANDIDATE: "opens the row as a candidate with it",
    Action.OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN: (
        "opens the row as a candidate with it, after an open row at the municipality moved from"
    ),
    Action.UPDATE: "writes it into the open row",
}
_WITHHELD: Final = (
    "While a protection measure is in force for the person, it is withheld: the column is null."
)
_ADDRESS: Final = "address"


def explain(source: str, target: str, field: str) -> Section:
    """Return by which reading or rules a domain receives a field, or why it doesn't.

    Raise OperatorError for a system, domain or field that there is not.
    """
    system, domain = system_of(source), domain_of(target)
    fields = submitted_fields(system)
    if not fields:
        raise OperatorError(f"{source} submits no field that a domain could receive")
    if field not in fields:
        raise OperatorError(f"{source} submits no field {field!r}; it submits: {', '.join(fields)}")
    if PERSON in undeclared_kinds(system):
        return _of_persons(system, domain, field)
    if any(field in entity.field_names for entity in system.owns):
        return Section(tuple(_of_entities(system, domain, field)))
    return Section(tuple(_of_accounts(system, domain, field)))


def submitted_fields(system: System) -> tuple[str, ...]:
    """Return the fields of a system's submissions that a domain could receive, by the names of their columns."""
    kinds = undeclared_kinds(system)
    if PERSON in kinds:
        return tuple(FACT_OF_COLUMN)
    accounts = ACCOUNT_COLUMNS[1:] if ACCOUNT in kinds else ()
    return (*(declared.name for declared in system.submitted_fields), *accounts)


def _of_persons(system: System, domain: Domain, column: str) -> Section:
    readings = [
        reads
        for reads in domain.readings
        if reads.entity.is_derived and column in {declared.name for declared in reads.fields}
    ]
    lines = [line for reads in readings for line in _of_reading(domain, reads, column)]
    if column not in domain.columns:
        if lines:
            return Section(tuple(lines))
        has = (
            f"its table person has {', '.join(domain.columns)}"
            if domain.columns
            else "it has no table person"
        )
        return Section((f"{domain.id} doesn't receive {column} of the notices of {system.id}: {has}.",))
    lines.append(
        f"{domain.id} receives {column} of the notices of {system.id} in table person, by these rules:"
    )
    if FACT_OF_COLUMN[column] != column:
        lines.append(f"It is derived from {FACT_OF_COLUMN[column]} of the notice.")
    if column == _ADDRESS:
        lines.append(_WITHHELD)
    return Section(tuple(lines), ("reason", "effect", "basis"), tuple(_rows(domain, column)))


def _rows(domain: Domain, column: str) -> Iterator[tuple[str, str, str]]:
    if domain.enrolment is not None and domain.enrolment.action is not Action.NONE:
        yield "(enrolment)", _EFFECTS[domain.enrolment.action], domain.basis("PERSON", None)
    for reason, rule in domain.rules.items():
        if effect := _effect(reason, rule, column):
            yield reason.japanese, effect, domain.basis("PERSON", reason)


def _effect(reason: Reason, rule: Rule, column: str) -> str | None:
    """Return the effect of a reason on a column; None if it has none."""
    if column in rule.sets:
        return f"sets it to {rule.sets[column]} in the open row"
    if rule.action is Action.CLOSE:
        return "closes the row and removes it" if column == _ADDRESS else None
    if column not in rule.fields:
        return None
    if reason is Reason.PROTECTION_BEGUN:
        return "withholds it"
    return "writes it again" if reason is Reason.PROTECTION_ENDED else _EFFECTS[rule.action]


def _of_entities(system: System, domain: Domain, field: str) -> Iterator[str]:
    for entity in system.owns:
        if field in entity.field_names:
            yield from _of_entity(domain, entity, field)


def _of_entity(domain: Domain, entity: Entity, field: str) -> Iterator[str]:
    readings = [reads for reads in domain.reads if reads.entity.id == entity.id]
    if not readings:
        yield f"{domain.id} doesn't receive {field} of entity {entity.id}: no reading of {domain.id} names the entity."
    for reads in readings:
        names = [declared.name for declared in reads.fields]
        if field not in names and not _made_of(reads, field):
            yield (
                f"{domain.id} doesn't receive {field} of entity {entity.id}: reading {reads.name} doesn't name it. "
                f"It names {', '.join(names)}."
            )
            continue
        yield from _of_reading(domain, reads, field)


def _of_reading(domain: Domain, reads: Reads, field: str) -> Iterator[str]:
    entity, made = reads.entity, _made_of(reads, field)
    if reads.ended:
        yield f"{domain.id} doesn't receive {field} of entity {entity.id} any more: reading {reads.name} has ended."
        return
    received = f"only what is made of {field}" if made else field
    yield f"{domain.id} receives {received} of entity {entity.id} in table {reads.name}, by reading {reads.name}."
    yield from (f"- column: {coarser_text(each)}" for each in made)
    yield f"- purpose: {reads.purpose}"
    yield f"- basis: {reads.basis}"
    yield f"- about: {coverage_text(reads.holders)}"
    yield from part_lines(domain, reads)
    yield from history_lines(reads)
    yield f"- from: {', '.join(_sources(entity, field))}"
    for rules in entity.rules[1:]:
        yield f"- other rules hold for {entity.id} from {rules.first_day} on; see `mesh systems show`"
    if entity.field(field).is_location:
        yield _WITHHELD


def _made_of(reads: Reads, field: str) -> list[Coarser]:
    """Return the columns of a reading that are made of a field and say less than it."""
    return [coarser for coarser in reads.coarser.values() if coarser.field == field]


def _sources(entity: Entity, field: str) -> Iterator[str]:
    """Yield the events that bring or set a field; a field of the key comes with every event."""
    if entity.is_derived:
        yield (
            "the events of accounts"
            if entity is ACCOUNT_ENTITY
            else "the notices of the confirmed registration"
        )
        return
    if field in entity.key:
        yield "every event, because it is part of the key"
        return
    for event in entity.events:
        if field in event.fields:
            yield f"{event.name} (brings it)"
        elif field in event.sets:
            yield f"{event.name} (sets it to {event.sets[field]})"
        elif event.takes_over is not None and field in event.takes_over.given:
            yield f"{event.name} (takes it over)"


def _of_accounts(system: System, domain: Domain, field: str) -> Iterator[str]:
    of_account = [reads for reads in domain.reads if reads.entity.id == ACCOUNT_ENTITY.id]
    readings = [reads for reads in of_account if field in {declared.name for declared in reads.fields}]
    for reads in readings:
        yield from _of_reading(domain, reads, field)
    if not domain.has_accounts:
        if not readings:
            yield f"{domain.id} doesn't receive {field} of the accounts of {system.id}: it has no account_basis."
        return
    who = "persons with an open row" if domain.paying else "every account of the person"
    yield (
        f"{domain.id} receives {field} of the accounts of {system.id} in table account ({who}). "
        f"Basis: {domain.account_basis}."
    )
