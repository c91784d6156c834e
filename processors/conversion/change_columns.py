"""The columns that a domain receives: in its own codes, and none that its declaration doesn't have.

Fan-out has limited the facts to the domain's rule already. They are limited once more here, so a mistake in fan-out
discloses nothing. The address of somebody who is or was protected is withheld by what is known now (`withholding`).
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
from processors.conversion.withholding import addresses_of, withheld_rows
from processors.readings import UnreadableKanaError, roman
from schemas.reasons import JAPANESE
from schemas.systems import Domain
from schemas.systems.model import ACCOUNT_COLUMNS, FACT_OF_COLUMN, MESSAGE_COLUMNS
from schemas.topics import PROTECTION
from streams.contract import Tables

_READ: Final = (
    "person", "entity", "op", "revision", "municipality", "effective_on", "case", "reason", "status", "facts",
    "message", "account",
)  # fmt: skip
_TERM_OF: Final = {reason.value: term for reason, term in JAPANESE.items()}

#: Timestamp of days before 1970: Kafka has no earlier time, and clients take 0 for "now".
_EARLIEST_MS: Final = 1
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class ChangeColumns:
    """Changes for one domain: `columns` of `change.<domain>` as received, and what is derived from them.

    `withheld` (bool) is whether a protection measure withholds the address of each change.
    """

    domain: Domain
    cipher: Cipher
    columns: Mapping[str, pa.Array]
    withheld: pa.Array

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
        """The domain's columns of each entity that it receives; null in changes of another entity."""
        columns = {"PERSON": self._person(), "ACCOUNT": self._account(), "MESSAGE": self._message()}
        return {entity: of_entity for entity, of_entity in columns.items() if of_entity}

    def _person(self) -> dict[str, pa.Array]:
        return {column: self._withhold(column, self._personal(column)) for column in self.domain.columns}

    def _personal(self, column: str) -> pa.Array:
        fact = self.facts[FACT_OF_COLUMN[column]]
        if column == "roman":
            return _romans(fact)
        return domain_codes(self.cipher, fact, CodeKind.HOUSEHOLD) if column == "household_code" else fact

    def _withhold(self, column: str, values: pa.Array) -> pa.Array:
        """Return the values, without the address of a closed row or a protected person."""
        if column != "address":
            return values
        closed = pc.fill_null(pc.equal(self.columns["status"], "closed"), False)
        return pc.if_else(pc.or_(closed, self.withheld), None, values)

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
        """Return whether each change inserts or updates a row of this entity."""
        upsert = pc.equal(self.columns["op"], "UPSERT")
        return pc.and_(upsert, pc.equal(self.columns["entity"], entity))

    @property
    def timestamps_ms(self) -> pa.Array:
        """The days of effect at 00:00 UTC, in milliseconds since 1970."""
        return day_timestamps_ms(self.columns["effective_on"])


def day_timestamps_ms(days: pa.Array) -> pa.Array:
    """Return days (date32) as Kafka timestamps: 00:00 UTC, in milliseconds since 1970."""
    return pc.max_element_wise(pc.multiply(days.cast(pa.int32()).cast(pa.int64()), _DAY_MS), _EARLIEST_MS)


def change_columns(domain: Domain, cipher: Cipher, table: pa.Table, tables: Tables) -> ChangeColumns:
    """Return the columns of records of `change.<domain>`; `tables` has `protection` if any record has an address."""
    columns = select_columns(table, _READ)
    has_address = domain.has_addresses and addresses_of(columns["facts"]).null_count < len(table)
    withheld = (
        withheld_rows(domain.id, columns, tables[PROTECTION])
        if has_address
        else pa.repeat(False, len(columns["person"]))
    )
    return ChangeColumns(domain, cipher, columns, withheld)


def domain_records(changes: ChangeColumns) -> pa.Table:
    """Return the records of `domain.<domain>`; every change must be convertible."""
    target = arrow_schema(changes.domain.event)
    fields = {
        name: changes.columns[name] for name in ("entity", "op", "revision", "municipality", "effective_on")
    }
    fields |= {"code": changes.codes, "case_code": changes.case_codes}
    for entity, columns in changes.columns_by_entity.items():
        name = entity.lower()
        if name in target.names:
            of_entity = {**columns, "status": changes.columns["status"]} if entity == "PERSON" else columns
            fields[name] = _entity_struct(of_entity, target.field(name).type, changes.is_upsert_of(entity))
    return table_from_columns(
        changes.domain.event, {name: values for name, values in fields.items() if name in target.names}
    )


def _entity_struct(
    columns: Mapping[str, pa.Array], type_: pa.StructType, is_upsert: pa.Array
) -> pa.StructArray:
    """Return a struct for each upsert, null for all other changes.

    Fields that must not be null are filled: Arrow keeps a value for each field, also below a null struct.
    """
    filled = {
        field.name: columns[field.name] if field.nullable else _fill(columns[field.name], field.type)
        for field in type_
        if field.name in columns
    }
    return struct_from_columns(filled, type_, mask=pc.invert(is_upsert))


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
