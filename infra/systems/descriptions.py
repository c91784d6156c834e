"""What a declared system submits and receives, in words, and the names that follow from its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from connectors.postgres.roles import store_roles
from connectors.postgres.table_definitions import tables_of
from infra.errors import OperatorError
from schemas.declare import (
    AtMostOneInForce,
    ByResidence,
    Cause,
    Coarser,
    Consequence,
    Coverage,
    Entity,
    EntityField,
    Event,
    Expires,
    Follows,
    FollowsEntity,
    HeldBy,
    Invariant,
    OfResidenceOn,
    OneOf,
    Reads,
    Rules,
    TakesOver,
    history_of,
)
from schemas.generate import form_of
from schemas.schema_files import schema_names, versions
from schemas.systems import DOMAINS, SYSTEMS, Domain, System
from schemas.topics import (
    TopicDeclaration,
    change_topic,
    command_topic,
    conflict_topic,
    disclosure_topic,
    dlq_topic,
    domain_receipt_topic,
    domain_topic,
    input_topic,
    rejected_topic,
    sink_step,
    topics_of,
    users,
    withdrawal_topic,
)

#: Stands for each municipality that takes part, in names of topics and users.
MUNICIPALITY: Final = "<municipality>"

#: What happens to a person, in words.
_CAUSES: Final = {
    Cause.REGISTERED: "is registered",
    Cause.FACTS_CHANGED: "has other facts",
    Cause.DEPARTED: "has moved out and is registered nowhere",
    Cause.MOVED_ABROAD: "has moved abroad",
    Cause.DIED: "has died",
    Cause.LEFT: "isn't registered in the municipality any more",
}


def system_of(id_: str) -> System:
    """Return a system. Raise OperatorError with the ids that there are."""
    if id_ not in SYSTEMS:
        raise OperatorError(f"there is no system {id_!r}; there are: {', '.join(SYSTEMS)}")
    return SYSTEMS[id_]


def domain_of(id_: str) -> Domain:
    """Return a domain. Raise OperatorError with the ids that there are."""
    if id_ not in DOMAINS:
        reason = f"{id_} receives nothing" if id_ in SYSTEMS else f"there is no domain {id_!r}"
        raise OperatorError(f"{reason}; domains that receive data are: {', '.join(DOMAINS)}")
    return DOMAINS[id_]


def summary(system: System) -> dict[str, Any]:
    """Return a system as a JSON document: what it is, what it submits, and the tables that its domain receives."""
    return {
        "id": system.id,
        "japanese": system.japanese,
        "scope": system.scope.value,
        "submits": {"schema": system.publishes, "events": list(system.submitted_events)},
        "receives": table_names(system.domain) if system.domain else [],
    }


def table_names(domain: Domain) -> list[str]:
    """Return the names of the tables that a domain receives."""
    kinds = (
        ("person", domain.has_persons),
        ("person_history", domain.has_history),
        ("account", domain.has_accounts),
        ("notice", domain.has_messages),
    )
    return [name for name, received in kinds if received] + [reads.name for reads in domain.readings]


@dataclass(frozen=True)
class Section:
    """A part of a description: sentences, then a table if it has columns."""

    lines: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


def description(system: System) -> Iterator[Section]:
    """Yield everything about a system: its names, entities with fields and events, readings, tables, topics."""
    yield Section((f"{system.id}  {system.japanese}, {system.scope.value.lower()}", _submits(system)))
    for entity in system.owns:
        yield from _entity_sections(entity)
    if system.domain is not None:
        yield from _domain_sections(system.domain)
    topics = topics_of_system(system)
    yield Section(
        ("topics", f"users of Kafka: {', '.join(_own_users(system, topics)) or 'none'}"),
        ("topic", "schema", "written by", "read by"),
        tuple((t.name, t.schema, ", ".join(t.writers), ", ".join(t.readers)) for t in topics),
    )


def topics_of_system(system: System) -> list[TopicDeclaration]:
    """Return the topics that exist because of a system; those of each municipality stand for all of them."""
    part = MUNICIPALITY if system.municipal else None
    names = {input_topic(system.id, part), rejected_topic(system.id), conflict_topic(system.id)}
    if system.domain is not None:
        of_domain = (change_topic, domain_topic, withdrawal_topic, disclosure_topic, domain_receipt_topic)
        names |= {name(system.id) for name in of_domain}
        names |= {dlq_topic(sink_step(system.id)), command_topic(sink_step(system.id))}
    return [topic for topic in topics_of([MUNICIPALITY]) if topic.name in names]


def _own_users(system: System, topics: list[TopicDeclaration]) -> list[str]:
    own = {system.id, f"{system.id}.{MUNICIPALITY}", sink_step(system.id)}
    return [user for user in users(topics) if user in own]


def _submits(system: System) -> str:
    if system.publishes is None:
        return "submits nothing"
    known = versions(system.publishes) if system.publishes in schema_names() else ()
    version = f"version {known[-1]}" if known else "not written yet: run `mesh systems generate`"
    events = f"; events: {', '.join(system.submitted_events)}" if system.owns else ""
    return f"submits schema {system.publishes} ({version}){events}"


def _entity_sections(entity: Entity) -> Iterator[Section]:
    key = ", ".join(entity.key) or "none: there is one of it per person"
    yield Section(
        (f"entity {entity.id}  {entity.japanese}; key: {key}{'; high level' if entity.is_high else ''}",),
        ("field", "japanese", "type", "values", "notes"),
        tuple((each.name, each.japanese, each.type, form_of(each), _marks(each)) for each in entity.fields),
    )
    yield Section(
        ("events, in the order in which those of one day take effect",),
        ("event", "japanese", "effect", "brings", "sets", "to be submitted within"),
        tuple(map(_event_row, entity.events)),
    )
    for rules in entity.rules:
        yield from _rules_sections(rules)


def _rules_sections(rules: Rules) -> Iterator[Section]:
    """Yield the rules that are in force from a day on; the first are without a day."""
    since = "" if rules.first_day == date.min else f", from {rules.first_day} on"
    if rules.invariants:
        yield Section((f"invariants{since}", *(f"- {invariant_text(each)}" for each in rules.invariants)))
    if rules.follows:
        texts = (f"- {consequence_text(each)}" for each in rules.follows)
        yield Section((f"what follows by itself{since}", *texts))
    if since and not (rules.invariants or rules.follows):
        yield Section((f"no invariants, and nothing follows by itself{since}",))


def _marks(declared: EntityField) -> str:
    marks = (("optional", declared.is_optional), ("withheld while protected", declared.is_location))
    return ", ".join(mark for mark, is_so in marks if is_so)


def _event_row(event: Event) -> tuple[object, ...]:
    sets = ", ".join(f"{name} = {value}" for name, value in event.sets.items())
    if event.takes_over is not None:
        sets = ", ".join(filter(None, (sets, taking_over_text(event.takes_over))))
    within = f"{event.file_within} days" if event.file_within is not None else ""
    effect = f"{event.effect.value}, of several persons" if event.of_members else event.effect.value
    return event.name, event.japanese, effect, ", ".join(event.fields), sets, within


def taking_over_text(rule: TakesOver) -> str:
    """Return in words what an event takes over."""
    last = f"; {rule.last_day} after {rule.months} months" if rule.last_day else ""
    names = ", ".join(rule.fields)
    return f"{names} as where the person was registered until {rule.within_days} days before at most{last}"


def invariant_text(invariant: Invariant) -> str:
    """Return an invariant as a sentence."""
    if isinstance(invariant, AtMostOneInForce):
        among = f" with {invariant.field} {' or '.join(invariant.values)}" if invariant.field else ""
        return f"of a person, at most one{among} is in force on a day"
    if isinstance(invariant, OfResidenceOn):
        return (
            f"only the municipality of the confirmed registration on day {invariant.day} of month {invariant.month} "
            f"of {invariant.year} has it, from that day on"
        )
    return f"once {invariant.field} is {invariant.value}, no later event has an effect"


def consequence_text(consequence: Consequence) -> str:
    """Return in words which event follows by itself, and from what."""
    if isinstance(consequence, Follows):
        return _follows_text(consequence)
    if isinstance(consequence, FollowsEntity):
        return (
            f"{consequence.event} once the {consequence.entity.id} named by {consequence.by} has "
            f"{consequence.field} {' or '.join(consequence.values)}, or is closed"
        )
    if isinstance(consequence, Expires):
        return f"{consequence.event} on the day after {consequence.field}"
    return _residence_text(consequence)


def _follows_text(rule: Follows) -> str:
    facts = f" ({', '.join(sorted(rule.facts))})" if rule.facts else ""
    later = f", {rule.after_days} days later" if rule.after_days else ""
    where = "".join(f", if {name} is {' or '.join(values)}" for name, values in rule.where.items())
    unless = f", unless {rule.unless} happens before" if rule.unless else ""
    stays = "; it stays if the cause is cancelled" if rule.stays else ""
    return f"{rule.event} when the person {_CAUSES[rule.when]}{facts}{later}{where}{unless}{stays}"


def _residence_text(rule: ByResidence) -> str:
    later = f" {rule.closes_after_days} days after" if rule.closes_after_days else " when"
    keeps = f", but not while {rule.keeps[0]} is {rule.keeps[1]}" if rule.keeps else ""
    return (
        f"{rule.opens} for the municipality where the person is registered, from the age of {rule.from_age} on; "
        f"{rule.closes}{later} the person has left or died{keeps}"
    )


def coverage_text(coverage: Coverage) -> str:
    """Return in words whom a reading is about."""
    if isinstance(coverage, HeldBy):
        article = "an" if coverage.entity.id[0] in "aeiou" else "a"
        return f"persons of whom there is {article} {coverage.entity.id}"
    return "persons with an open row in the domain"


def coarser_text(coarser: Coarser) -> str:
    """Return in words what a column that says less than its field can be, and when."""
    rule = coarser.rule
    if isinstance(rule, OneOf):
        whens = [f"{result} if it is {' or '.join(values)}" for result, values in rule.values.items()]
    else:
        whens = [f"{rule.first} below {min(rule.amounts)}"]
        whens += [f"{result} from {amount} on" for amount, result in rule.amounts.items()]
    return f"{coarser.name} {coarser.japanese}, made of {coarser.field}: {', '.join(whens)}"


def part_lines(domain: Domain, reads: Reads) -> list[str]:
    """Return a line about whose rows those of a reading are, if that isn't by the entity; otherwise none."""
    if not (domain.municipal and reads.is_held_by_part and isinstance(reads.holders, HeldBy)):
        return []
    return [
        f"- rows: one for each municipality that has the {reads.holders.entity.id}, wherever the person lives"
    ]


def history_lines(reads: Reads) -> list[str]:
    """Return a line about the history of a reading; none if it has none."""
    if not reads.history:
        return []
    return [f"- history: table {history_of(reads).name}, basis: {reads.history_basis}"]


def _domain_sections(domain: Domain) -> Iterator[Section]:
    for reads in domain.reads:
        yield Section(
            (
                f"reading {reads.name} of entity {reads.entity.id}",
                f"- purpose: {reads.purpose}",
                f"- basis: {reads.basis}",
                f"- about: {coverage_text(reads.holders)}",
                *(f"- column {coarser_text(coarser)}" for coarser in reads.coarser.values()),
                *part_lines(domain, reads),
                *history_lines(reads),
                *(["- ended: it has no rows any more"] if reads.ended else []),
            )
        )
    logins = ", ".join(store_roles(domain, [MUNICIPALITY]))
    head = f"tables of schema {domain.schema_name}; logins of the database: {logins}"
    if domain.event not in schema_names():
        yield Section((head, f"{', '.join(table_names(domain))}: run `mesh systems generate` first"))
        return
    if domain.has_history:
        yield Section((f"history of table person: table person_history, basis: {domain.history_basis}",))
    tables = tables_of(domain)
    rows = tuple((each.name, ", ".join(each.key), ", ".join(each.columns)) for each in tables)
    yield Section((head,), ("table", "key", "columns"), rows)
