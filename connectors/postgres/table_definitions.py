"""The tables of a domain's store, from its declaration: columns, keys, and their fields in a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from schemas.catalogue import catalogue
from schemas.declare import Reads
from schemas.systems import Domain
from schemas.systems.model import ACCOUNT_COLUMNS

PERSON: Final = "PERSON"
PERSON_HISTORY: Final = "PERSON_HISTORY"
ACCOUNT: Final = "ACCOUNT"
MESSAGE: Final = "MESSAGE"

#: PostgreSQL types of the columns of today's tables and of every table that are not text.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"effective_on": "date", "known_from": "date", "birth_date": "date", "revision": "bigint"}
)
#: PostgreSQL types of the types that a declared field may have.
_DECLARED_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"string": "text", "date": "date", "long": "bigint"}
)


@dataclass(frozen=True)
class Table:
    """One entity's table. `key` are the columns of the primary key, `content` those from the entity's struct.

    Every table also has `effective_on` and `revision`. `types` are the PostgreSQL types of columns that are not text.
    `located` are the columns that a withdrawal takes out. `reads` is the reading whose table it is, if it is one.
    `also` is another entity whose changes are rows of this table too, if the day since which they are known is given.
    """

    entity: str
    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    types: Mapping[str, str] = field(default_factory=lambda: _TYPES)
    located: tuple[str, ...] = ()
    reads: Reads | None = None
    also: str = ""

    @property
    def struct(self) -> str:
        """Column of the record that has the content."""
        return (self.also or self.entity).lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of the table."""
        return tuple(dict.fromkeys((*self.key, *self.content, "effective_on", "revision")))

    @property
    def key_of_row(self) -> tuple[str, ...]:
        """The columns of the key that tell the rows of one person apart."""
        return tuple(name for name in self.key if name != "code")

    def type_of(self, column: str) -> str:
        """Return the PostgreSQL type of a column."""
        return self.types.get(column, "text")

    def is_required(self, column: str) -> bool:
        """Return whether a column may not be null."""
        return column in (*self.key, "status", "effective_on", "revision")


def tables_of(domain: Domain) -> tuple[Table, ...]:
    """Return the tables of a domain's store: one per entity that it receives, then one per reading."""
    tables = []
    key = ("municipality", "code") if domain.municipal else ("code",)
    if domain.columns:
        located = ("address",) if domain.has_addresses else ()
        content = ("status", *domain.columns)
        tables.append(Table(PERSON, "person", key, content, located=located))
        if domain.has_history:
            of_history = (*key, "effective_on", "known_from")
            tables.append(
                Table(PERSON_HISTORY, "person_history", of_history, content, located=located, also=PERSON)
            )
    if domain.has_accounts:
        tables.append(Table(ACCOUNT, "account", key, _account_columns(domain)))
    if domain.message_on:
        tables.append(Table(MESSAGE, "notice", ("code", "case_code"), ("reason", "text")))
    return (*tables, *(_reading_table(reads, key) for reads in domain.readings))


def _account_columns(domain: Domain) -> tuple[str, ...]:
    # The events of the domain that keeps the accounts have the portal's id of the account too.
    event_type = catalogue().arrow_schema(domain.event).field("account").type
    return tuple(name for name in ("account", *ACCOUNT_COLUMNS) if event_type.get_field_index(name) >= 0)


def _reading_table(reads: Reads, key: tuple[str, ...]) -> Table:
    keys = reads.entity.key_fields
    columns = [declared for declared in reads.fields if declared.name not in keys]
    types = {declared.name: _DECLARED_TYPES[declared.type] for declared in reads.fields}
    return Table(
        reads.name,
        reads.name,
        (*key, *keys),
        ("status", *(declared.name for declared in columns)),
        types | {"effective_on": "date", "revision": "bigint"},
        tuple(declared.name for declared in columns if declared.is_location),
        reads,
    )
