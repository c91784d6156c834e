"""The tables of a domain's store, driven by its declaration: columns, keys, and where they stand in a record."""

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

#: PostgreSQL types of columns that aren't text.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"effective_on": "date", "birth_date": "date", "revision": "bigint"}
)


@dataclass(frozen=True)
class Table:
    """One entity's table. `key` are the columns of the primary key, `content` those out of the entity's struct.

    Every table has `effective_on` and `revision` besides. `part` is the column that, with `code`, makes the key.
    """

    entity: str
    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    part: str | None = None

    @property
    def struct(self) -> str:
        """Column of the record that holds the content."""
        return self.entity.lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of the table."""
        return (*self.key, *self.content, "effective_on", "revision")

    def type_of(self, column: str) -> str:
        """PostgreSQL type of a column."""
        return _TYPES.get(column, "text")


def tables_of(domain: Domain) -> tuple[Table, ...]:
    """The tables of a domain's store, a table per entity that it is told."""
    found = []
    municipality = "municipality" if domain.municipal else None
    key = ("municipality", "code") if domain.municipal else ("code",)
    if domain.columns:
        found.append(Table(PERSON, "person", key, ("status", *domain.columns), municipality))
    if domain.has_accounts:
        found.append(Table(ACCOUNT, "account", key, _account_columns(domain), municipality))
    if domain.message_on:
        found.append(
            Table(MESSAGE, "notice", ("code", "case_code"), ("reason", "text"), "case_code"),
        )
    return tuple(found)


def _account_columns(domain: Domain) -> tuple[str, ...]:
    """The ledger's own events have the portal's id of the account too."""
    told = catalogue().arrow_schema(domain.event).field("account").type
    return tuple(name for name in ("account", *ACCOUNT_COLUMNS) if told.get_field_index(name) >= 0)
