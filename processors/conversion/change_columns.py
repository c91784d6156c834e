"""The columns that a domain receives: in its own codes, and none that its declaration doesn't have.

Fan-out has limited the facts to the domain's rule already. They are limited once more here, so a mistake in fan-out
discloses nothing. The place of somebody who is or was protected is withheld by what is known now (`withholding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind, case_codes, domain_codes
from processors.columns import (
    arrow_schema,
    map_distinct,
    select_columns,
    struct_fields,
    struct_from_columns,
    table_from_columns,
)
from processors.conversion.reading_columns import ReadingColumns, located_columns, reading_columns
from processors.conversion.withholding import addresses_of, protected_rows, withheld_rows
from processors.readings import UnreadableKanaError, roman
from schemas.reasons import JAPANESE
from schemas.systems import DOMAINS, Domain
from schemas.systems.model import ACCOUNT_COLUMNS, FACT_OF_COLUMN, MESSAGE_COLUMNS
from schemas.topics import PROTECTION
from streams.contract import Tables

_READ: Final = (
    "person", "entity", "op", "revision", "municipality", "effective_on", "case", "reason", "status", "facts",
    "message", "account", "columns", "known_from",
)  # fmt: skip
_TERM_OF: Final = {reason.value: term for reason, term in JAPANESE.items()}

#: Readings of any domain with columns that point to the person's place, by the entity of their changes.
_LOCATED: Final = pa.array(
    sorted(
        {reads.name for domain in DOMAINS.values() for reads in domain.readings if located_columns(reads)}
    ),
    pa.string(),
)

#: Timestamp of days before 1970: Kafka has no earlier time, and clients take 0 for "now".
_EARLIEST_MS: Final = 1
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class ChangeColumns:
    """Changes for one domain: `columns` of `change.<domain>` as received, and what is derived from them.

    `withheld` (bool) is whether a protection measure withholds the address of each change, `withheld_in_history` (bool)
    whether one does in the history. `protected` (bool) is whether one withholds its located columns, `ever_protected`
    (bool) whether one does in rows of a history.
    """

    domain: Domain
    cipher: Cipher
    columns: Mapping[str, pa.Array]
    withheld: pa.Array
    withheld_in_history: pa.Array
    protected: pa.Array
    ever_protected: pa.Array

    def __len__(self) -> int:
        return len(self.columns["person"])

    @cached_property
    def codes(self) -> pa.Array:
        """The domain's codes of the persons; null where `person` isn't a mesh code."""
        return domain_codes(self.cipher, self.columns["person"], CodeKind.PERSON)

    @cached_property
    def case_codes(self) -> pa.Array:
        """The domain's codes of the cases; null where there is no case."""
        return self._case_codes(self.columns["case"])

    def _case_codes(self, cases: pa.StructArray) -> pa.Array:
        case = struct_fields(cases)
        return case_codes(self.cipher, case["municipality"], case["notice"])

    @cached_property
    def facts(self) -> dict[str, pa.Array]:
        """Facts of the persons, by name."""
        return struct_fields(self.columns["facts"])

    @cached_property
    def columns_by_entity(self) -> dict[str, dict[str, pa.Array]]:
        """The domain's columns of each entity that it receives; null in changes of another entity.

        A reading of which the batch has no row is left out.
        """
        columns = {"PERSON": self._person(), "ACCOUNT": self._account(), "MESSAGE": self._message()}
        received = {entity: of_entity for entity, of_entity in columns.items() if of_entity}
        return received | {name: self._reading(name) for name in self.readings}

    @cached_property
    def readings(self) -> dict[str, ReadingColumns]:
        """The rows of each of the domain's readings that the batch has any of, as fan-out made them."""
        entities = pc.unique(self.columns["entity"]).to_pylist() if self.domain.readings else ()
        conversions = {
            "roman": _romans,
            "household": lambda codes: domain_codes(self.cipher, codes, CodeKind.HOUSEHOLD),
            "person": lambda codes: domain_codes(self.cipher, codes, CodeKind.PERSON),
        }
        return {
            reads.name: reading_columns(reads, self.columns, conversions)
            for reads in self.domain.readings
            if reads.name in entities
        }

    def _reading(self, name: str) -> dict[str, pa.Array]:
        """Return the columns of a reading, without the place of a closed row or a protected person."""
        reads = next(reads for reads in self.domain.readings if reads.name == name)
        columns = dict(self.readings[name].columns)
        located = located_columns(reads)
        if located:
            protected = self.ever_protected if reads.is_history else self.protected
            hidden = pc.or_(self._is_closed, protected)
            columns |= {column: pc.if_else(hidden, None, columns[column]) for column in located}
        return columns

    def _person(self) -> dict[str, pa.Array]:
        return {column: self._withhold(column, self._personal(column)) for column in self.domain.columns}

    def _personal(self, column: str) -> pa.Array:
        fact = self.facts[FACT_OF_COLUMN[column]]
        if column == "roman":
            return _romans(fact)
        return domain_codes(self.cipher, fact, CodeKind.HOUSEHOLD) if column == "household_code" else fact

    def _withhold(self, column: str, values: pa.Array) -> pa.Array:
        """Return the values, without the address of a closed row or a protected person.

        In rows of the history alone, nobody who ever was protected has one.
        """
        if column != "address":
            return values
        hidden = pc.or_(self.withheld, pc.and_(self._is_history, self.withheld_in_history))
        return pc.if_else(pc.or_(self._is_closed, hidden), None, values)

    @cached_property
    def _is_history(self) -> pa.Array:
        return pc.equal(self.columns["entity"], "PERSON_HISTORY")

    @cached_property
    def known_from(self) -> pa.Array:
        """The day since which each change is known; null if the row of the history that it means comes by itself.

        So it does where a measure began since, because no history shows the address of that time any more.
        """
        is_later = pc.and_not(self.withheld_in_history, self._is_history)
        return pc.if_else(is_later, None, self.columns["known_from"])

    @cached_property
    def _is_closed(self) -> pa.Array:
        return pc.fill_null(pc.equal(self.columns["status"], "closed"), False)

    def _account(self) -> dict[str, pa.Array]:
        if not self.domain.has_accounts:
            return {}
        target = {field.name for field in arrow_schema(self.domain.event).field("account").type}
        is_account = pc.equal(self.columns["entity"], "ACCOUNT")
        account = {
            **struct_fields(self.columns["account"]),
            "status": pc.if_else(is_account, self.columns["status"], None),
        }
        return {name: account[name] for name in ("account", *ACCOUNT_COLUMNS) if name in target}

    def _message(self) -> dict[str, pa.Array]:
        if not self.domain.has_messages:
            return {}
        fields = struct_fields(self.columns["message"])
        message = {
            "case_code": self._case_codes(fields["case"]),
            "reason": _terms(fields["reason"]),
            "text": fields["text"],
        }
        return {name: message[name] for name in MESSAGE_COLUMNS}

    def is_upsert_of(self, entity: str) -> pa.Array:
        """Return whether each change inserts or updates a row of this entity, or of its history."""
        upsert = pc.equal(self.columns["op"], "UPSERT")
        is_entity = pc.equal(self.columns["entity"], entity)
        if entity == "PERSON" and self.domain.has_history:
            is_entity = pc.or_(is_entity, self._is_history)
        return pc.and_(upsert, is_entity)

    def has_content_of(self, entity: str) -> pa.Array:
        """Return whether each change has content of this entity: an upsert, or any change of a reading.

        A deleted row of a reading still has its key.
        """
        return self.readings[entity].is_row if entity in self.readings else self.is_upsert_of(entity)

    @property
    def timestamps_ms(self) -> pa.Array:
        """The days of effect at 00:00 UTC, in milliseconds since 1970."""
        return day_timestamps_ms(self.columns["effective_on"])


def day_timestamps_ms(days: pa.Array) -> pa.Array:
    """Return days (date32) as Kafka timestamps: 00:00 UTC, in milliseconds since 1970."""
    return pc.max_element_wise(pc.multiply(days.cast(pa.int32()).cast(pa.int64()), _DAY_MS), _EARLIEST_MS)


def needs_protection(changes: pa.Table) -> bool:
    """Return whether any record of `change.<domain>` has an address, or is of a reading with located columns."""
    has_address = addresses_of(changes.column("facts")).null_count < len(changes)
    return has_address or _has_located(_LOCATED, changes.column("entity"))


def change_columns(domain: Domain, cipher: Cipher, table: pa.Table, tables: Tables) -> ChangeColumns:
    """Return the columns of records of `change.<domain>`; `tables` has `protection` if they need it."""
    columns = select_columns(table, _READ)
    withheld = in_history = protected = ever_protected = pa.repeat(False, len(table))
    if domain.has_addresses and addresses_of(columns["facts"]).null_count < len(table):
        withheld, in_history = withheld_rows(domain.id, columns, tables[PROTECTION])
    located = pa.array([reads.name for reads in domain.readings if located_columns(reads)], pa.string())
    if _has_located(located, columns["entity"]):
        protected, ever_protected = protected_rows(columns["person"], tables[PROTECTION])
    return ChangeColumns(domain, cipher, columns, withheld, in_history, protected, ever_protected)


def _has_located(located: pa.Array, entities: pa.Array | pa.ChunkedArray) -> bool:
    return len(located) > 0 and bool(pc.any(pc.is_in(entities, value_set=located)).as_py())


def domain_records(changes: ChangeColumns) -> pa.Table:
    """Return the records of `domain.<domain>`; every change must be convertible."""
    target = arrow_schema(changes.domain.event)
    fields = {
        name: changes.columns[name] for name in ("entity", "op", "revision", "municipality", "effective_on")
    }
    fields |= {"code": changes.codes, "case_code": changes.case_codes}
    if changes.domain.has_history:
        fields["known_from"] = changes.known_from
    for entity, columns in changes.columns_by_entity.items():
        name = entity.lower()
        if name in target.names:
            of_entity = columns if "status" in columns else {**columns, "status": _statuses(changes)}
            fields[name] = _entity_struct(of_entity, target.field(name).type, changes.has_content_of(entity))
    return table_from_columns(
        changes.domain.event, {name: values for name, values in fields.items() if name in target.names}
    )


def _statuses(changes: ChangeColumns) -> pa.Array:
    """Return the status of each row, which a deleted one doesn't have any more."""
    is_delete = pc.equal(changes.columns["op"], "DELETE")
    return pc.fill_null(pc.if_else(is_delete, None, changes.columns["status"]), "unknown")


def _entity_struct(
    columns: Mapping[str, pa.Array], type_: pa.StructType, has_content: pa.Array
) -> pa.StructArray:
    """Return a struct for each change with content of the entity, null for all other changes.

    Fields that must not be null are filled: Arrow keeps a value for each field, also below a null struct.
    """
    filled = {
        field.name: columns[field.name] if field.nullable else _fill(columns[field.name], field.type)
        for field in type_
        if field.name in columns
    }
    return struct_from_columns(filled, type_, mask=pc.invert(has_content))


def _fill(values: pa.Array, type_: pa.DataType) -> pa.Array:
    return pc.fill_null(values.cast(type_), "") if pa.types.is_string(type_) else values


def _romans(kana: pa.Array) -> pa.Array:
    """Return the Hepburn romanization of readings; null where there is no reading, or it can't be romanized."""
    return map_distinct(
        kana, lambda distinct: pa.array([_roman(reading) for reading in distinct.to_pylist()], pa.string())
    )


def _roman(kana: str) -> str | None:
    try:
        return roman(kana)
    except UnreadableKanaError:
        return None


def _terms(reasons: pa.Array) -> pa.Array:
    """Return the Japanese terms of reasons."""
    return map_distinct(
        reasons,
        lambda distinct: pa.array([_TERM_OF.get(reason) for reason in distinct.to_pylist()], pa.string()),
    )
