"""A system's declaration: the submissions it publishes and, for a domain, its columns and rules with their legal basis.

Declarations are data. Intake, fan-out, conversion, sinks and `mesh apply` read them; none of these knows a system by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Final

from schemas.declare import (
    CANCELLED,
    ENROLLED,
    DeclarationError,
    Entity,
    EntityField,
    Event,
    HeldBy,
    Level,
    Reads,
    history_of,
)
from schemas.declare.entity_rules import require_level
from schemas.reasons import FIELDS_BY_REASON, JAPANESE, Reason


class Scope(StrEnum):
    """Whether a system exists once per municipality or once for the country."""

    MUNICIPAL = "MUNICIPAL"
    NATIONAL = "NATIONAL"


class Action(StrEnum):
    """The effect of a notice on the person's row in a domain.

    OPEN creates the row with status active and all facts, or opens a closed one again. OPEN_CANDIDATE does the same
    with status candidate. OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN does so only if the domain's row at the municipality moved
    from was open (active or candidate) until that move out. On a row that is already open, these three update the facts
    instead; OPEN also makes the row active. UPDATE writes the rule's fields into an open row; it never opens one. CLOSE
    sets status closed and removes the address; all other facts stay.
    """

    NONE = "NONE"
    OPEN = "OPEN"
    OPEN_CANDIDATE = "OPEN_CANDIDATE"
    OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN = "OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN"
    UPDATE = "UPDATE"
    CLOSE = "CLOSE"


#: The fact from which each personal column is derived; `roman` is the Hepburn romanization of the reading.
FACT_OF_COLUMN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "name": "name",
        "kana": "kana",
        "roman": "kana",
        "birth_date": "birth_date",
        "sex": "sex",
        "address": "address",
        "household_code": "household",
        "relationship": "relationship",
    }
)

#: Address of a person who moved abroad.
ABROAD: Final = "国外"

#: Columns of an account in events and stores.
ACCOUNT_COLUMNS: Final = ("status", "holder_kana", "bank", "branch", "type", "number")

#: Longest purpose of a digest, in bytes: BLAKE2b takes no longer one.
DIGEST_PURPOSE_BYTES_MAX: Final = 16

#: Name in the catalogue of the schema of records whose content is sealed.
SEALED_RECORD: Final = "sealed-record"

#: Field of a submission at the high level in which its submitter has sealed all others.
SEALED: Final = "sealed"

#: Columns of a message to a resident.
MESSAGE_COLUMNS: Final = ("case_code", "reason", "text")


@dataclass(frozen=True)
class Rule:
    """The effect of one reason in one domain: an action, the columns it writes, and its legal basis.

    `fields` are names of the domain's columns whose values the notice provides. `sets` are values by column that the
    rule itself provides instead of the notice.
    """

    action: Action
    fields: tuple[str, ...] = ()
    legal_basis: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)


#: The rule of a reason that has no effect in a domain.
NO_RULE: Final = Rule(Action.NONE)


@dataclass(frozen=True)
class Domain:
    """A system that receives data about persons: its store, its columns, and a rule for every reason but UNKNOWN.

    `columns` are the personal columns; a domain without any stores no rows of persons. `enrolment` is the rule of an
    enrolment, which writes all facts; None if the domain accepts no enrolments. A `paying` domain receives the account
    of each person with an open row. `account_basis` is the legal basis of accounts; empty if the domain receives none.
    A notice with a reason in `message_on` sends a message to an enrolled resident. `reads` are the declared entities of
    which the domain receives rows. At the high `level` nobody outside sees about whom: its topics are sealed, it only
    has readings about holders of entities of that level, and rows that have ended are deleted. `history_basis` is the
    legal basis of keeping what the rows of persons were, and from which day of receipt on that was known; empty if the
    store has no history of them.
    """

    id: str
    scope: Scope
    columns: tuple[str, ...]
    rules: Mapping[Reason, Rule]
    legal_basis: str
    enrolment: Rule | None = None
    paying: bool = False
    account_basis: str = ""
    message_on: frozenset[Reason] = frozenset()
    reads: tuple[Reads, ...] = ()
    level: Level = Level.STANDARD
    history_basis: str = ""

    def __post_init__(self) -> None:
        require_level(self.id, self.level)
        self._check_level()
        if self.history_basis and not self.columns:
            raise DeclarationError(f"{self.id}: it has no rows of persons of which it could have a history")
        names = [reads.name for reads in self.readings]
        if twice := [name for name in names if names.count(name) > 1]:
            raise DeclarationError(f"{self.id}: two readings have the same name, {twice[0]}")
        for reads in self.reads:
            if reads.entity.by_part is not self.municipal and not (self.municipal and reads.is_held_by_part):
                raise DeclarationError(
                    f"{self.id}: reading {reads.name} is of {reads.entity.id}, which "
                    + (
                        "each municipality has for itself"
                        if reads.entity.by_part
                        else "no municipality has, and not about the holders of what a municipality has"
                    )
                )

    def _check_level(self) -> None:
        for reads in self.reads:
            of_high = isinstance(reads.holders, HeldBy) and reads.holders.entity.is_high
            if reads.is_high and not self.is_high:
                raise DeclarationError(
                    f"{self.id}: reading {reads.name} is of the high level, so the domain must be of that level"
                )
            if self.is_high and not of_high:
                raise DeclarationError(
                    f"{self.id}: reading {reads.name} must be about the holders of an entity of the high level, "
                    "as the domain is of that level"
                )
        acts = any(rule.action is not Action.NONE for rule in self.rules.values())
        if self.is_high and (self.columns or acts or self.enrolment or self.account_basis or self.message_on):
            raise DeclarationError(
                f"{self.id}: a domain of the high level has readings only; "
                "no columns, rules, enrolment, accounts or messages"
            )

    @property
    def is_high(self) -> bool:
        """Whether it is of the high level."""
        return self.level is Level.HIGH

    @property
    def has_receipts(self) -> bool:
        """Whether its sink confirms each change: not at the high level, where that would show whom it was about."""
        return not self.is_high

    @property
    def has_withdrawals(self) -> bool:
        """Whether addresses are withdrawn beside its topic: not at the high level, for the same reason."""
        return self.has_addresses and not self.is_high

    @property
    def topic_schema(self) -> str:
        """Name in the catalogue of the schema of its topic: `event`, or at the high level that of a sealed record."""
        return SEALED_RECORD if self.is_high else self.event

    @property
    def schema_name(self) -> str:
        """PostgreSQL schema and login, e.g. local_tax."""
        return self.id.replace("-", "_")

    @property
    def event(self) -> str:
        """Name in the catalogue of the schema of this domain's topic."""
        return f"domain-{self.id}"

    @property
    def municipal(self) -> bool:
        """Whether a row belongs to a person and a municipality, not to the person alone."""
        return self.scope is Scope.MUNICIPAL

    @property
    def facts(self) -> frozenset[str]:
        """Names of the facts (fields of record `Facts`) from which this domain's columns are derived."""
        return frozenset(FACT_OF_COLUMN[column] for column in self.columns)

    @cached_property
    def readings(self) -> tuple[Reads, ...]:
        """What it reads as declared, each followed by its history if it has one. Each of them is a table."""
        with_histories = ((reads, history_of(reads)) if reads.history else (reads,) for reads in self.reads)
        return tuple(chain.from_iterable(with_histories))

    @property
    def has_persons(self) -> bool:
        """Whether the domain stores rows of persons: its events have field `person`, its store has table `person`."""
        return bool(self.columns)

    @property
    def has_history(self) -> bool:
        """Whether the domain's store has table `person_history` beside table `person`."""
        return bool(self.history_basis)

    @property
    def has_addresses(self) -> bool:
        """Whether the domain's rows have an address, or point to a place otherwise, which a measure withholds."""
        located = any(field.is_location for reads in self.readings for field in reads.fields)
        return "address" in self.columns or located

    @property
    def has_accounts(self) -> bool:
        """Whether the domain stores accounts: field and table `account`. True for paying domains and the ledger."""
        return bool(self.account_basis)

    @property
    def has_messages(self) -> bool:
        """Whether the domain stores messages to residents: field `message` of its events, table `notice`."""
        return bool(self.message_on)

    def reading(self, entity: str) -> Reads | None:
        """Return the reading whose changes have this `entity`; None if there is none."""
        return next((reads for reads in self.readings if reads.name == entity), None)

    def rule(self, reason: Reason) -> Rule:
        """Return the rule of a reason; UNKNOWN has no effect."""
        return self.rules.get(reason, NO_RULE)

    def basis(self, entity: str, reason: Reason | None) -> str:
        """Return the act and article that allow a change of `entity` to be sent.

        `entity` is PERSON, PERSON_HISTORY, ACCOUNT, MESSAGE or a reading. `reason` is None for a change of a person
        caused by an enrolment, and for a change of anything but persons.
        """
        reading = self.reading(entity)
        if reading is not None:
            return reading.basis
        if entity == "PERSON_HISTORY":
            return self.history_basis
        if entity == "ACCOUNT":
            return self.account_basis
        if entity == "PERSON" and reason is None and self.enrolment is not None:
            return self.enrolment.legal_basis
        return (self.rule(reason).legal_basis if reason else "") or self.legal_basis


@dataclass(frozen=True)
class System:
    """A system that takes part in the mesh.

    `publishes` is the name in the catalogue of the schema of its submissions on `in.<id>[.<municipality>]`; None if it
    submits nothing. `digest_purpose` separates the digests of its submissions from those of other schemas, see
    `purpose`. Never change it: digests recorded earlier would not match any more. `owns` are the entities whose events
    the system submits; its submissions then have the generated schema `submission-<id>`. `derives` are those that the
    mesh makes of what the system submits otherwise.
    """

    id: str
    japanese: str
    scope: Scope
    publishes: str | None = None
    domain: Domain | None = None
    digest_purpose: str | None = None
    owns: tuple[Entity, ...] = ()
    derives: tuple[Entity, ...] = ()

    def __post_init__(self) -> None:
        if self.owns and self.publishes != submission_schema(self.id):
            raise DeclarationError(
                f"{self.id}: it owns entities, so it publishes {submission_schema(self.id)}"
            )
        if len((self.purpose or "").encode()) > DIGEST_PURPOSE_BYTES_MAX:
            raise DeclarationError(
                f"{self.id}: the purpose of digests {self.purpose!r} is longer than {DIGEST_PURPOSE_BYTES_MAX} bytes;"
                " declare a shorter digest_purpose"
            )
        self._check_level()
        if len(set(self.event_names)) < len(self.event_names):
            raise DeclarationError(f"{self.id}: two of its entities have an event of the same name")
        forms: dict[str, EntityField] = {}
        for declared in (each for entity in self.owns for each in entity.fields):
            form = replace(declared, is_optional=False, is_location=False)
            if forms.setdefault(declared.name, form) != form:
                raise DeclarationError(f"{self.id}: field {declared.name} has another form in another entity")

    def _check_level(self) -> None:
        if len({entity.level for entity in self.owns}) > 1:
            raise DeclarationError(f"{self.id}: all entities that it owns must be of one level")
        if self.is_high and self.domain is not None and not self.domain.is_high:
            raise DeclarationError(f"{self.id}: it owns entities of the high level, so must be its domain")

    @property
    def is_high(self) -> bool:
        """Whether it owns entities of the high level."""
        return any(entity.is_high for entity in self.owns)

    @property
    def purpose(self) -> str | None:
        """The purpose of the digests of its submissions; None if it submits nothing.

        By default it is the system's id if the schema is generated, and otherwise the schema's name.
        """
        return self.digest_purpose or (self.id if self.owns else self.publishes)

    @property
    def submitted_fields(self) -> tuple[EntityField, ...]:
        """The fields of the owned entities, each name once: the columns of the generated schema beside the head."""
        by_name = {declared.name: declared for entity in self.owns for declared in entity.fields}
        return tuple(by_name.values())

    @property
    def submits_members(self) -> bool:
        """Whether a submission may name several persons: then the generated schema has a list of members."""
        return any(event.of_members for entity in self.owns for event in entity.events)

    @property
    def submitted_events(self) -> tuple[str, ...]:
        """The names that `event` may have in a submission: declared events, Cancelled, and Enrolled if it enrols."""
        if not self.owns:
            return ()
        enrols = self.domain is not None and self.domain.enrolment is not None
        return (*self.event_names, CANCELLED, *((ENROLLED,) if enrols else ()))

    @property
    def event_names(self) -> tuple[str, ...]:
        """The names of the declared events that the system submits, entity by entity."""
        return tuple(event.name for entity in self.owns for event in entity.events)

    def entity_of(self, event: str) -> tuple[Entity, Event]:
        """Return the entity and the declaration of an event. Raise KeyError if the system submits no such event."""
        for entity in self.owns:
            for declared in entity.events:
                if declared.name == event:
                    return entity, declared
        raise KeyError(f"system {self.id} submits no event {event}")

    @property
    def municipal(self) -> bool:
        """Whether the system exists once per municipality, each with its own topic and user."""
        return self.scope is Scope.MUNICIPAL


def submission_schema(system: str) -> str:
    """Return the name in the catalogue of the generated schema of a system's submissions."""
    return f"submission-{system}"


def rules_of(
    columns: tuple[str, ...],
    actions: Mapping[Reason, Action],
    basis: str,
    special: Mapping[Reason, Rule] | None = None,
) -> Mapping[Reason, Rule]:
    """Return a rule for every reason: its action with the columns that the action writes.

    A reason without an action has no effect. Rules in `special` replace the derived ones.
    """
    derived = {
        reason: Rule(
            action, _written_columns(columns, reason, action), basis if action is not Action.NONE else ""
        )
        for reason in JAPANESE
        for action in [actions.get(reason, Action.NONE)]
    }
    return MappingProxyType(derived | dict(special or {}))


def _written_columns(columns: tuple[str, ...], reason: Reason, action: Action) -> tuple[str, ...]:
    if action in (Action.NONE, Action.CLOSE):
        return ()
    if action is not Action.UPDATE:
        return columns
    if reason in (Reason.PROTECTION_BEGUN, Reason.PROTECTION_ENDED):
        return ("address",)
    return tuple(column for column in columns if FACT_OF_COLUMN[column] in FIELDS_BY_REASON[reason])
