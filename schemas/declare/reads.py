"""Readings: what a domain receives of a declared entity, about whom, and on which legal basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from schemas.declare.coarser import Coarser
from schemas.declare.column_names import COMMON_NAMES, FIELD_NAME, NAME_MAX
from schemas.declare.derived_entities import ACCOUNT
from schemas.declare.entities import Entity
from schemas.declare.entity_fields import DeclarationError, EntityField, day

#: The days of a history, each from the first day on to the last one, exclusive: on which a row holds, and is known.
_VALID_FROM: Final = day("valid_from", "有効期間の初日")
_VALID_TO: Final = day("valid_to", "有効期間の末日の翌日").optional()
_KNOWN_FROM: Final = day("known_from", "把握した日")
_KNOWN_TO: Final = day("known_to", "把握が改まった日").optional()
#: How many last days a row of a history has after its other columns.
HISTORY_LAST_DAYS: Final = 2

#: Most columns of a reading.
COLUMNS_MAX: Final = 60
#: Tables of a store that no reading may be named after.
RESERVED_TABLES: Final = frozenset(
    {
        "account", "dead_letter_outbox", "deleted_revision", "dlq_command_done", "dlq_entry", "message", "notice",
        "outbox", "outcome", "person", "person_history", "receipt_outbox", "sink_offset", "withdrawal",
    }
)  # fmt: skip


@dataclass(frozen=True)
class HeldBy:
    """Those persons of whom the reader has the entity in force, e.g. the holders of a card."""

    entity: Entity


@dataclass(frozen=True)
class Enrolled:
    """Those persons who have an open row in the reading domain."""


Coverage = HeldBy | Enrolled


@dataclass(frozen=True)
class Reads:
    """What a domain receives of an entity: which columns, about whom, for which purpose and on which legal basis.

    `name` is the name of its table. The key of the entity is always sent. A column is the name of a field, or made of
    one by a rule (`Coarser`). Columns that point to the person's place are null while the person is protected. With
    `history` there is a second table, see `history_of`; as it has days of receipt, which can join the rows of two
    domains, it needs a legal basis of its own. One that has `ended` keeps its schema and table and has no rows: so a
    reading is taken away from everybody before its declaration is.
    """

    name: str
    entity: Entity
    columns: tuple[str | Coarser, ...]
    purpose: str
    basis: str
    of: Coverage | None = None
    history: bool = False
    history_basis: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        if not FIELD_NAME.fullmatch(self.name):
            raise DeclarationError(f"reading {self.name!r} must be lower-case words joined by underscores")
        self._check_columns()
        if len(self.name) > NAME_MAX or len(self.fields) > COLUMNS_MAX:
            raise DeclarationError(
                f"reading {self.name} has a name of over {NAME_MAX} characters, or over {COLUMNS_MAX} columns"
            )
        if self.name in RESERVED_TABLES | COMMON_NAMES:
            raise DeclarationError(f"reading {self.name} has the name of a table that every store has")
        if not self.basis or not self.purpose:
            raise DeclarationError(f"reading {self.name} needs a purpose and a legal basis")
        if self.history:
            self._check_history()

    def _check_columns(self) -> None:
        names = [each for each in self.columns if isinstance(each, str)]
        for name in names:
            if name not in self.entity.field_names:
                raise DeclarationError(f"reading {self.name}: {self.entity.id} has no field {name}")
        for name, coarser in self.coarser.items():
            if coarser.field in names:
                raise DeclarationError(
                    f"reading {self.name} has both {coarser.field} and {name}, which says less than it"
                )
        if len(names) + len(self.coarser) < len(self.columns):
            raise DeclarationError(f"reading {self.name} has two coarser columns of the same name")

    def _check_history(self) -> None:
        if self.is_high:
            raise DeclarationError(
                f"reading {self.name} is of the high level, where nothing is kept of what has ended: it has no history"
            )
        if self.entity.id == ACCOUNT.id:
            raise DeclarationError(f"reading {self.name}: there is no history of accounts")
        if not self.history_basis:
            raise DeclarationError(f"reading {self.name} has a history, which needs a history_basis")
        if self.holders != HeldBy(self.entity):
            raise DeclarationError(
                f"reading {self.name} has a history, but isn't about everybody of whom there is a {self.entity.id}"
            )
        history_of(self)

    @property
    def fields(self) -> tuple[EntityField, ...]:
        """The fields that are sent: those of the key, then the columns."""
        columns = [each if isinstance(each, str) else each.name for each in self.columns]
        return tuple(
            self.coarser[name].column(self.entity) if name in self.coarser else self.entity.field(name)
            for name in dict.fromkeys((*self.entity.key_fields, *columns))
        )

    @cached_property
    def coarser(self) -> Mapping[str, Coarser]:
        """The columns that say less than a field, by their names."""
        return {each.name: each for each in self.columns if isinstance(each, Coarser)}

    @property
    def holders(self) -> Coverage:
        """Those whom the reading is about: by default everybody of whom there is such a fact."""
        return self.of or HeldBy(self.entity)

    @property
    def is_held_by_part(self) -> bool:
        """Whether it is about holders of what each municipality has for itself, but the entity isn't such a one.

        In a municipal domain each municipality that has, or had, the holder then has a row of its own.
        """
        holders = self.holders
        return isinstance(holders, HeldBy) and holders.entity.by_part and not self.entity.by_part

    @property
    def is_high(self) -> bool:
        """Whether it shows of whom there is an entity of the high level."""
        of_holders = isinstance(self.holders, HeldBy) and self.holders.entity.is_high
        return self.entity.is_high or of_holders

    @property
    def is_history(self) -> bool:
        """Whether it is the history of another reading."""
        return _KNOWN_FROM.name in self.entity.key


def history_of(reads: Reads) -> Reads:
    """Return the reading `<name>_history`: what held on each day, as it was known on each day.

    Of a key it has a row for each period in which the reading's row looks the same, and again each time that what is
    known of this period becomes another: key, `valid_from` and `known_from` tell the rows apart. Raise DeclarationError
    if the names or the number of columns don't allow it.
    """
    keys = reads.entity.key_fields
    values = [declared for declared in reads.fields if declared.name not in keys]
    key_values = [declared for declared in reads.fields if declared.name in keys]
    entity = Entity(
        f"{reads.entity.id}-history",
        f"{reads.entity.japanese}の履歴",
        (*key_values, _VALID_FROM, _KNOWN_FROM, *values, _VALID_TO, _KNOWN_TO),
        (),
        key=(*reads.entity.key, _VALID_FROM.name, _KNOWN_FROM.name),
        is_derived=True,
    )
    columns = (*(declared.name for declared in values), _VALID_TO.name, _KNOWN_TO.name)
    name = f"{reads.name}_history"
    return Reads(name, entity, columns, reads.purpose, reads.history_basis, ended=reads.ended)
