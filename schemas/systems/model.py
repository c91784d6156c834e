"""A system's declaration: what it publishes, and, for a domain, what it is told by which rule of law.

Declarations are data. Intake, propagation, conversion, sinks and `mesh apply` read them; none knows a
system by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from schemas.reasons import FIELDS_BY_REASON, JAPANESE, Reason


class Scope(StrEnum):
    """One system per municipality, or one for the nation."""

    MUNICIPAL = "MUNICIPAL"
    NATIONAL = "NATIONAL"


class Coverage(StrEnum):
    """Whose rows a domain's table `person` has. NONE: it keeps no facts (enrolled residents get messages)."""

    EVERY_RESIDENT = "EVERY_RESIDENT"
    ENROLLED = "ENROLLED"
    NONE = "NONE"


class Action(StrEnum):
    """What a notice does to the person's row in a domain.

    OPEN makes it, status active, with all facts; a closed row opens again. OPEN_CANDIDATE does so with
    status candidate; OPEN_CANDIDATE_IF_HELD_AT_ORIGIN only where the person's row at the municipality moved
    from was active or candidate until that move out. UPDATE brings in the rule's fields; a closed row isn't
    updated. CLOSE sets status closed, takes the address out, and leaves the rest as it was.
    """

    NONE = "NONE"
    OPEN = "OPEN"
    OPEN_CANDIDATE = "OPEN_CANDIDATE"
    OPEN_CANDIDATE_IF_HELD_AT_ORIGIN = "OPEN_CANDIDATE_IF_HELD_AT_ORIGIN"
    UPDATE = "UPDATE"
    CLOSE = "CLOSE"


#: The fact that each personal column comes of; `roman` is the reading in Hepburn letters.
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

#: What an address says of somebody who moved abroad.
ABROAD: Final = "国外"

#: Columns of an account that paying domains are told.
ACCOUNT_COLUMNS: Final = ("status", "holder_kana", "bank", "branch", "type", "number")

#: Columns of a message to a resident.
MESSAGE_COLUMNS: Final = ("case_code", "reason", "text")


@dataclass(frozen=True)
class Rule:
    """What one reason does in one domain: `fields` are the domain's columns it brings in, on `legal_basis`.

    `gives` are values that the rule itself sets (by column) instead of the notice.
    """

    action: Action
    fields: tuple[str, ...] = ()
    legal_basis: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)


#: The rule of a reason that a domain isn't told of.
NO_RULE: Final = Rule(Action.NONE)


@dataclass(frozen=True)
class Domain:
    """A domain that is told of persons: its store, its columns, and its rules by reason (all but UNKNOWN).

    `enrolment` is what a row of enrolments does; None: the domain takes none. `paying` domains are told of
    accounts. `message_on` are the reasons that send the resident a message.
    """

    id: str
    scope: Scope
    columns: tuple[str, ...]
    holds: Coverage
    rules: Mapping[Reason, Rule]
    legal_basis: str
    enrolment: Rule | None = None
    paying: bool = False
    account_basis: str = ""
    message_on: frozenset[Reason] = frozenset()

    @property
    def schema_name(self) -> str:
        """PostgreSQL schema and login, e.g. local_tax."""
        return self.id.replace("-", "_")

    @property
    def event(self) -> str:
        """Catalogue name of the schema of this domain's topic."""
        return f"domain-{self.id}"

    @property
    def municipal(self) -> bool:
        """Whether rows belong to a person and a municipality, not to the person alone."""
        return self.scope is Scope.MUNICIPAL

    @property
    def facts(self) -> frozenset[str]:
        """Names of the facts (record `Facts`) that this domain's columns come of."""
        return frozenset(FACT_OF_COLUMN[column] for column in self.columns)

    @property
    def has_accounts(self) -> bool:
        """Whether its events carry accounts: the paying domains, and the ledger's own."""
        return bool(self.account_basis)

    def rule(self, reason: Reason) -> Rule:
        """The rule of this reason; UNKNOWN has none."""
        return self.rules.get(reason, NO_RULE)

    def basis(self, entity: str, reason: Reason | None) -> str:
        """Act and article on which a change of `entity` (PERSON, ACCOUNT, MESSAGE) goes out.

        Without a reason it comes of an enrolment or, in the entity's case, of an account.
        """
        if entity == "ACCOUNT":
            return self.account_basis
        if entity == "PERSON" and reason is None and self.enrolment is not None:
            return self.enrolment.legal_basis
        return (self.rule(reason).legal_basis if reason else "") or self.legal_basis


@dataclass(frozen=True)
class System:
    """A system. `publishes`: catalogue name of what it files on `in.<id>[.<municipality>]`."""

    id: str
    japanese: str
    scope: Scope
    publishes: str | None = None
    domain: Domain | None = None

    @property
    def municipal(self) -> bool:
        """Whether there is one per municipality, each with its own topic and user."""
        return self.scope is Scope.MUNICIPAL


def rules_of(
    columns: tuple[str, ...],
    actions: Mapping[Reason, Action],
    basis: str,
    special: Mapping[Reason, Rule] | None = None,
) -> Mapping[Reason, Rule]:
    """Rules by reason: each action with the columns it brings in; `special` replaces some of them."""
    plain = {
        reason: Rule(action, _brought_in(columns, reason, action), basis if action is not Action.NONE else "")
        for reason in JAPANESE
        for action in [actions.get(reason, Action.NONE)]
    }
    return MappingProxyType(plain | dict(special or {}))


def _brought_in(columns: tuple[str, ...], reason: Reason, action: Action) -> tuple[str, ...]:
    if action in (Action.NONE, Action.CLOSE):
        return ()
    if action is not Action.UPDATE:
        return columns
    if reason in (Reason.PROTECTION_BEGUN, Reason.PROTECTION_ENDED):
        return ("address",)
    return tuple(column for column in columns if FACT_OF_COLUMN[column] in FIELDS_BY_REASON[reason])
