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

    Within an entity, a bit per column (63 at most) identifies the combination of columns, so each distinct list of
    names is made once.
    """
    lists: list[list[str]] = [[]]
    indices = constant(0, len(changes), pa.int32())
    for entity, columns in changes.columns_by_entity.items():
        bits = constant(0, len(changes), pa.int64())
        for index, values in enumerate(columns.values()):
            bits = pc.bit_wise_or(bits, pc.if_else(pc.is_valid(values), 1 << index, 0))
        encoded = pc.if_else(changes.has_content_of(entity), bits, None).dictionary_encode()
        indices = pc.coalesce(pc.add(encoded.indices, pa.scalar(len(lists), pa.int32())), indices)
        lists += [_names_of(combination, list(columns)) for combination in encoded.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(indices)


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
