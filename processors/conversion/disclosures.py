"""The record of each disclosure (情報提供等記録): the columns a domain received, and the legal basis."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, table_from_columns
from processors.conversion.change_columns import ChangeColumns
from schemas.reasons import Reason
from schemas.systems import Domain


def disclosures(changes: ChangeColumns, disclosed_at_ms: int) -> pa.Table:
    """Return the records of `disclosure.<domain>`, of this moment (ms since 1970); every change must be convertible."""
    as_received = {
        name: changes.columns[name] for name in ("entity", "revision", "municipality", "effective_on")
    }
    return table_from_columns(
        "disclosure",
        {
            **as_received,
            "domain": constant(changes.domain.id, len(changes)),
            "code": changes.codes,
            "case_code": changes.case_codes,
            "fields": _disclosed_fields(changes),
            "legal_basis": _legal_bases(changes),
            # For the auditor alone: a moment in the domain's own records would join them with another domain's.
            "disclosed_at": constant(disclosed_at_ms, len(changes), pa.int64()),
        },
    )


def _disclosed_fields(changes: ChangeColumns) -> pa.Array:
    """Return for each change the names of its columns that aren't null.

    A bit per column identifies the combination of columns, so each distinct list of names is made once.
    """
    bits = pa.repeat(pa.scalar(0, pa.int64()), len(changes))
    names: list[str] = []
    for entity, columns in changes.columns_by_entity.items():
        is_upsert = changes.is_upsert_of(entity)
        for name, values in columns.items():
            bit = pc.if_else(pc.and_(is_upsert, pc.is_valid(values)), 1 << len(names), 0)
            bits = pc.bit_wise_or(bits, bit)
            names.append(name)
    encoded = bits.dictionary_encode()
    lists = [_names_of(combination, names) for combination in encoded.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(encoded.indices)


def _names_of(bits: int, names: list[str]) -> list[str]:
    return [name for index, name in enumerate(names) if bits >> index & 1]


def _legal_bases(changes: ChangeColumns) -> pa.Array:
    """Return act and article for each change, by its entity and reason."""
    pairs = pc.binary_join_element_wise(
        changes.columns["entity"], pc.fill_null(changes.columns["reason"], ""), "/"
    ).dictionary_encode()
    bases = [_basis(changes.domain, *pair.split("/")) for pair in pairs.dictionary.to_pylist()]
    return pa.array(bases, pa.string()).take(pairs.indices)


def _basis(domain: Domain, entity: str, reason: str) -> str:
    return domain.basis(entity, Reason(reason) if reason else None)
