"""What one domain is told: its own codes, and no column that its declaration doesn't have.

Fan-out has limited the facts to the rule already; here they are limited once more, so that a mistake there shows
nothing. A `protection` topic, once there is one, has its place in `_withheld`: who is protected by now is shown no
address, whatever was on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind, case_codes, domain_codes
from processors.columns import arrow_schema, by_unique, columns, fields_of, shaped, struct
from processors.readings import UnreadableKanaError, roman
from schemas.reasons import JAPANESE, Reason
from schemas.systems import Domain
from schemas.systems.model import ACCOUNT_COLUMNS, FACT_OF_COLUMN, MESSAGE_COLUMNS

_NAMES: Final = (
    "person", "entity", "op", "revision", "municipality", "effective_on", "case", "reason", "status", "facts",
    "message", "account",
)  # fmt: skip
_TERM_OF: Final = {reason.value: term for reason, term in JAPANESE.items()}

#: Kafka knows no time before 1970, and clients take 0 for "now": earlier days are stamped with this millisecond.
_EARLIEST_MS: Final = 1
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class ConversionBatch:
    """Changes of one domain in the mesh's codes, as columns."""

    domain: Domain
    cipher: Cipher
    columns: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.columns["person"])

    @cached_property
    def codes(self) -> pa.Array:
        """The domain's own codes of the persons; null where `person` is no mesh code."""
        return domain_codes(self.cipher, self.columns["person"], CodeKind.PERSON)

    @cached_property
    def case_codes(self) -> pa.Array:
        """The domain's own codes of the cases; null where there is none."""
        return self._cases(self.columns["case"])

    def _cases(self, cases: pa.StructArray) -> pa.Array:
        case = fields_of(cases)
        return case_codes(self.cipher, case["municipality"], case["notice"])

    @cached_property
    def facts(self) -> dict[str, pa.Array]:
        """Facts of the persons."""
        return fields_of(self.columns["facts"])

    @cached_property
    def columns_by_entity(self) -> dict[str, dict[str, pa.Array]]:
        """By entity, the columns that the domain is told; null where the change isn't of that entity."""
        told = {"PERSON": self._person(), "ACCOUNT": self._account(), "MESSAGE": self._message()}
        return {entity: given for entity, given in told.items() if given}

    def _person(self) -> dict[str, pa.Array]:
        return {column: self._withheld(column, self._of_fact(column)) for column in self.domain.columns}

    def _of_fact(self, column: str) -> pa.Array:
        fact = self.facts[FACT_OF_COLUMN[column]]
        if column == "roman":
            return romans(fact)
        return domain_codes(self.cipher, fact, CodeKind.HOUSEHOLD) if column == "household_code" else fact

    def _withheld(self, column: str, values: pa.Array) -> pa.Array:
        """A closed row has no address."""
        if column != "address":
            return values
        closed = pc.fill_null(pc.equal(self.columns["status"], "closed"), False)
        return pc.if_else(closed, None, values)

    def _account(self) -> dict[str, pa.Array]:
        if not self.domain.has_accounts:
            return {}
        wanted = {field.name for field in arrow_schema(self.domain.event).field("account").type}
        given = {
            **fields_of(self.columns["account"]),
            "status": self._where(self.columns["status"], "ACCOUNT"),
        }
        return {name: given[name] for name in ("account", *ACCOUNT_COLUMNS) if name in wanted}

    def _message(self) -> dict[str, pa.Array]:
        if not self.domain.message_on:
            return {}
        message = fields_of(self.columns["message"])
        given = {
            "case_code": self._cases(message["case"]),
            "reason": terms(message["reason"]),
            "text": message["text"],
        }
        return {name: given[name] for name in MESSAGE_COLUMNS}

    def _where(self, values: pa.Array, entity: str) -> pa.Array:
        return pc.if_else(pc.equal(self.columns["entity"], entity), values, None)

    def is_set(self, entity: str) -> pa.Array:
        """Whether a row of this entity is set, not deleted."""
        upsert = pc.equal(self.columns["op"], "UPSERT")
        return pc.and_(upsert, pc.equal(self.columns["entity"], entity))

    @property
    def timestamps_ms(self) -> pa.Array:
        """The days of effect at 00:00 UTC."""
        days = self.columns["effective_on"].cast(pa.int32()).cast(pa.int64())
        return pc.max_element_wise(pc.multiply(days, _DAY_MS), _EARLIEST_MS)


def changes_of(domain: Domain, cipher: Cipher, table: pa.Table) -> ConversionBatch:
    """The records of `change.<domain>`."""
    return ConversionBatch(domain, cipher, columns(table, _NAMES))


def romans(kana: pa.Array) -> pa.Array:
    """Readings in Hepburn letters; null where there is none, or it can't be read."""
    return by_unique(
        kana, lambda distinct: pa.array([_roman(each) for each in distinct.to_pylist()], pa.string())
    )


def _roman(kana: str) -> str | None:
    try:
        return roman(kana)
    except UnreadableKanaError:
        return None


def terms(reasons: pa.Array) -> pa.Array:
    """Japanese terms of reasons."""
    return by_unique(
        reasons, lambda distinct: pa.array([_TERM_OF.get(r) for r in distinct.to_pylist()], pa.string())
    )


def faults(changes: ConversionBatch) -> pa.Array:
    """Why a change isn't converted (string): null where it is.

    `no-rule`: the domain isn't told of such an entity, or, for messages, of this reason. `bad-code`: the person or the
    household is no mesh code. `reading`: the kana can't be written in letters. `no-status`: a row is set without one.
    """
    reasons: list[tuple[str, pa.Array]] = [
        ("no-rule", pc.invert(_ruled(changes))),
        ("bad-code", pc.or_(pc.is_null(changes.codes), _lost(changes, "household_code"))),
        ("reading", _lost(changes, "roman")),
        ("no-status", pc.and_(pc.invert(changes.is_set("MESSAGE")), _without_status(changes))),
    ]
    fault = pa.nulls(len(changes), pa.string())
    for name, bad in reversed(reasons):
        fault = pc.if_else(bad, name, fault)
    return fault


def _ruled(changes: ConversionBatch) -> pa.Array:
    domain, entity = changes.domain, changes.columns["entity"]
    entities = [name for name, has in (("PERSON", domain.columns), ("ACCOUNT", domain.has_accounts)) if has]
    known = pc.is_in(entity, value_set=pa.array(entities, pa.string()))
    messages = pa.array([reason.value for reason in Reason if reason in domain.message_on], pa.string())
    reason = fields_of(changes.columns["message"])["reason"]
    message = pc.and_(pc.equal(entity, "MESSAGE"), pc.is_in(reason, value_set=messages))
    op = pc.is_in(changes.columns["op"], value_set=pa.array(["UPSERT", "DELETE"]))
    return pc.and_(pc.or_(known, message), op)


def _lost(changes: ConversionBatch, column: str) -> pa.Array:
    """Where there is a fact, but the column made of it is null."""
    if column not in changes.domain.columns:
        return pa.repeat(False, len(changes))
    given = pc.is_valid(changes.facts[FACT_OF_COLUMN[column]])
    return pc.and_(given, pc.is_null(changes.columns_by_entity["PERSON"][column]))


def _without_status(changes: ConversionBatch) -> pa.Array:
    return pc.and_(pc.equal(changes.columns["op"], "UPSERT"), pc.is_null(changes.columns["status"]))


def records(changes: ConversionBatch) -> pa.Table:
    """Records of `domain.<domain>`, of changes without fault."""
    wanted = arrow_schema(changes.domain.event)
    simple = {
        name: changes.columns[name] for name in ("entity", "op", "revision", "municipality", "effective_on")
    }
    fields = {**simple, "code": changes.codes, "case_code": changes.case_codes}
    for entity, told in changes.columns_by_entity.items():
        given = {**told, "status": changes.columns["status"]} if entity == "PERSON" else told
        name = entity.lower()
        if name in wanted.names:
            fields[name] = _entity(given, wanted.field(name).type, changes.is_set(entity))
    return shaped(
        changes.domain.event, {name: values for name, values in fields.items() if name in wanted.names}
    )


def _entity(given: Mapping[str, pa.Array], type_: pa.StructType, is_set: pa.Array) -> pa.StructArray:
    """A struct where the row is set, else null; what may not be null below a null struct is filled."""
    filled = {
        f.name: given[f.name] if f.nullable else _filled(given[f.name], f.type)
        for f in type_
        if f.name in given
    }
    return struct(filled, type_, mask=pc.invert(is_set))


def _filled(values: pa.Array, type_: pa.DataType) -> pa.Array:
    return pc.fill_null(values.cast(type_), "") if pa.types.is_string(type_) else values
