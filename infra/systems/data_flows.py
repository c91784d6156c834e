"""What flows between the declared systems: who submits which kind of fact, who receives it, what follows from what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from infra.systems.descriptions import coarser_text, consequence_text, coverage_text, invariant_text
from processors.intake.submission_types import SUBMISSION_TYPES
from schemas.declare import (
    RESIDENT,
    ByResidence,
    Effect,
    Entity,
    Expires,
    Follows,
    FollowsEntity,
    Reads,
    history_of,
)
from schemas.reasons import JAPANESE
from schemas.systems import Domain, System
from schemas.systems.model import ACCOUNT_COLUMNS, MESSAGE_COLUMNS, Action
from schemas.topics import NOTICE

#: Kinds of facts that no entity declares. They are upper-case, which the id of an entity can't be.
ENROLMENT: Final = "ENROLMENT"
PERSON: Final = "PERSON"
MESSAGE: Final = "MESSAGE"
ACCOUNT: Final = "ACCOUNT"
DAY: Final = "DAY"

_NAMES: Final = {
    ENROLMENT: ("enrolment", "対象者の登録"),
    PERSON: ("person, by rules", "住民の異動"),
    MESSAGE: ("message", "お知らせ"),
    ACCOUNT: ("account event", "公金受取口座"),
    DAY: ("begun day", "日付"),
}
_OPENING: Final = {
    Action.OPEN: "",
    Action.OPEN_CANDIDATE: " (as a candidate)",
    Action.OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN: " (as a candidate, after an open row at the municipality moved from)",
}
#: The Japanese names of the columns of a person's row.
_COLUMN_NAMES: Final = {declared.name: declared.japanese for declared in RESIDENT.fields}


@dataclass(frozen=True)
class Fact:
    """A kind of fact. `submitters` are ids of systems; without any, the mesh makes it of what it follows from.

    `scope` says whether each municipality has facts of its own; it is empty for facts that no entity declares.
    """

    id: str
    name: str
    japanese: str
    scope: str
    submitters: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """What a domain receives of a kind of fact in one table. `purpose` is empty where rules have none.

    Each of `columns` and `withheld` (null while the person is protected) is a column with its Japanese name.
    """

    fact: str
    domain: str
    table: str
    columns: tuple[str, ...]
    purpose: str
    basis: str
    of_whom: str
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True)
class Consequences:
    """What of a kind of fact follows by itself from another one, in words."""

    fact: str
    cause: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class DataFlows:
    """The kinds of facts, what domains receive of them, and what follows by itself."""

    facts: tuple[Fact, ...]
    flows: tuple[Flow, ...]
    consequences: tuple[Consequences, ...]


def data_flows(systems: Mapping[str, System]) -> DataFlows:
    """Return what flows between these systems, in the order of the declarations.

    A kind of fact that nobody submits, nobody receives, and nothing has to do with, is left out.
    """
    flows = tuple(flow for system in systems.values() if system.domain for flow in _flows(system.domain))
    consequences = _grouped(_consequences(systems.values()))
    used = {flow.fact for flow in flows} | {
        each for group in consequences for each in (group.fact, group.cause)
    }
    facts = (*_undeclared_facts(systems.values()), *_declared_facts(systems.values()))
    kept = tuple(fact for fact in facts if fact.scope or fact.submitters or fact.id in used)
    return DataFlows(kept, flows, consequences)


def _undeclared_facts(systems: Iterable[System]) -> Iterator[Fact]:
    submitted = {system.id: undeclared_kinds(system) for system in systems}
    for id_, (name, japanese) in _NAMES.items():
        submitters = tuple(system for system, kinds in submitted.items() if id_ in kinds)
        yield Fact(id_, name, japanese, "", submitters)


def undeclared_kinds(system: System) -> set[str]:
    """Return the kinds of facts that a system submits besides its entities."""
    kind, domain = SUBMISSION_TYPES.get(system.publishes or ""), system.domain
    kinds = {
        PERSON: kind is not None and kind.topic == NOTICE,
        DAY: kind is not None and kind.is_broadcast,
        ENROLMENT: domain is not None and domain.enrolment is not None,
        ACCOUNT: domain is not None and domain.has_accounts and not domain.paying,
    }
    return {name for name, is_submitted in kinds.items() if is_submitted}


def _declared_facts(systems: Iterable[System]) -> Iterator[Fact]:
    """Yield derived entities, then the others, so that each stands near what it follows from."""
    systems = tuple(systems)
    for system in systems:
        for entity in system.derives:
            yield Fact(entity.id, entity.id, entity.japanese, _scope(entity), ())
    for system in systems:
        for entity in system.owns:
            yield Fact(entity.id, entity.id, entity.japanese, _scope(entity), (system.id,))


def _scope(entity: Entity) -> str:
    return "municipal" if entity.by_part else "national"


def _flows(domain: Domain) -> Iterator[Flow]:
    if domain.has_persons:
        yield _person_flow(domain)
    if domain.has_accounts:
        whom = "persons with an open row in the domain" if domain.paying else "everybody with an account"
        yield Flow(ACCOUNT, domain.id, "account", ACCOUNT_COLUMNS, "", domain.account_basis, whom)
    if domain.has_messages:
        reasons = ", ".join(term for reason, term in JAPANESE.items() if reason in domain.message_on)
        basis = domain.basis(MESSAGE, None)
        yield Flow(
            MESSAGE, domain.id, "notice", MESSAGE_COLUMNS, "", basis, f"enrolled residents, after {reasons}"
        )
    for reads in [each for each in domain.reads if not each.ended]:
        yield _reading_flow(domain, reads, reads)
        if reads.history:
            yield _reading_flow(domain, reads, history_of(reads))


def _reading_flow(domain: Domain, declared: Reads, reads: Reads) -> Flow:
    """Return the flow of a reading as declared, or of its history, which has an entity of its own."""
    fields = {each.name: f"{each.name} {each.japanese}" for each in reads.fields}
    fields |= {name: coarser_text(coarser) for name, coarser in reads.coarser.items()}
    return Flow(
        declared.entity.id,
        domain.id,
        reads.name,
        tuple(fields.values()),
        reads.purpose,
        reads.basis,
        coverage_text(declared.holders),
        tuple(fields[each.name] for each in reads.fields if each.is_location),
    )


def _person_flow(domain: Domain) -> Flow:
    rules = {reason: rule for reason, rule in domain.rules.items() if rule.action is not Action.NONE}
    bases = [domain.basis(PERSON, reason) for reason in rules]
    openings = [
        f"{reason.japanese}{_OPENING[rule.action]}"
        for reason, rule in rules.items()
        if rule.action in _OPENING
    ]
    if domain.enrolment is not None and domain.enrolment.action is not Action.NONE:
        bases.insert(0, domain.basis(PERSON, None))
        openings.insert(0, "the domain's enrolment")
    columns = {name: f"{name} {_COLUMN_NAMES[name]}" for name in domain.columns}
    return Flow(
        PERSON,
        domain.id,
        "person",
        tuple(columns.values()),
        "",
        "; ".join(dict.fromkeys(bases)),
        f"persons with an open row, opened by {', '.join(openings)}",
        tuple(text for name, text in columns.items() if name == "address"),
    )


def _grouped(consequences: Iterable[tuple[str, str, str]]) -> tuple[Consequences, ...]:
    """Return the texts of each kind of fact and cause together, each text once."""
    texts: dict[tuple[str, str], dict[str, None]] = {}
    for fact, cause, text in consequences:
        texts.setdefault((fact, cause), {})[text] = None
    return tuple(Consequences(fact, cause, tuple(each)) for (fact, cause), each in texts.items())


def _consequences(systems: Iterable[System]) -> Iterator[tuple[str, str, str]]:
    """Yield a kind of fact, the kind from which it follows, and how."""
    for system in systems:
        if system.domain is not None:
            yield from _consequences_in_domain(system.domain)
        for entity in system.derives:
            if PERSON in undeclared_kinds(system):
                yield entity.id, PERSON, "made of the confirmed registration of the person"
            else:
                yield entity.id, ACCOUNT, "made of the events of accounts"
        for entity in system.owns:
            yield from _consequences_for(entity)


def _consequences_in_domain(domain: Domain) -> Iterator[tuple[str, str, str]]:
    if domain.has_persons and domain.enrolment is not None:
        yield PERSON, ENROLMENT, "opens the person's row in the domain that enrols"
    if domain.has_messages:
        yield MESSAGE, PERSON, "sent after a notice"
        yield MESSAGE, ENROLMENT, "sent to those whom the domain has enrolled"
    if domain.has_accounts and domain.paying:
        yield ACCOUNT, PERSON, "sent as long as the person has an open row in the domain"


def _consequences_for(entity: Entity) -> Iterator[tuple[str, str, str]]:
    if entity.by_part and any(e.effect is Effect.OPENS and not e.is_anywhere for e in entity.events):
        on_a_day = invariant_text(entity.residence_on) if entity.residence_on else ""
        yield entity.id, PERSON, on_a_day or "opens only where the confirmed registration of the person is"
    for each in entity.all_follows:
        text = consequence_text(each)
        if isinstance(each, (Follows, ByResidence)):
            yield entity.id, PERSON, text
        if isinstance(each, FollowsEntity):
            yield entity.id, each.entity.id, text
        if isinstance(each, (Expires, ByResidence)) or (isinstance(each, Follows) and each.after_days):
            yield entity.id, DAY, text
