"""The tables of a domain's store, from its declaration: columns, keys, and their fields in a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.catalogue import catalogue
from schemas.systems import Domain
from schemas.systems.model import ACCOUNT_COLUMNS

PERSON: Final = "PERSON"
ACCOUNT: Final = "ACCOUNT"
MESSAGE: Final = "MESSAGE"

#: PostgreSQL types of the columns that are not text.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"effective_on": "date", "birth_date": "date", "revision": "bigint"}
)


@dataclass(frozen=True)
class Table:
    """One entity's table. `key` are the columns of the primary key, `content` those from the entity's struct.

    Every table also has `effective_on` and `revision`. `second_key` is the key's column besides `code`, if it has two.
    """

    entity: str
    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    second_key: str | None = None

    @property
    def struct(self) -> str:
        """Column of the record that has the content."""
        return self.entity.lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of the table."""
        return (*self.key, *self.content, "effective_on", "revision")

    def type_of(self, column: str) -> str:
        """Return the PostgreSQL type of a column."""
        return _TYPES.get(column, "text")


def tables_of(domain: Domain) -> tuple[Table, ...]:
    """Return the tables of a domain's store, one per entity that it receives."""
    tables = []
    municipality = "municipality" if domain.municipal else None
    key = ("municipality", "code") if domain.municipal else ("code",)
    if domain.columns:
        tables.append(Table(PERSON, "person", key, ("status", *domain.columns), municipality))
    if domain.has_accounts:
        tables.append(Table(ACCOUNT, "account", key, _account_columns(domain), municipality))
    if domain.message_on:
        tables.append(
            Table(MESSAGE, "notice", ("code", "case_code"), ("reason", "text"), "case_code"),
        )
    return tuple(tables)


def _account_columns(domain: Domain) -> tuple[str, ...]:
    # The events of the domain that keeps the accounts have the portal's id of the account too.
    event_type = catalogue().arrow_schema(domain.event).field("account").type
    return tuple(name for name in ("account", *ACCOUNT_COLUMNS) if event_type.get_field_index(name) >= 0)
