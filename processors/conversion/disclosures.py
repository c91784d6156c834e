"""The record of each disclosure (情報提供等記録): which columns a domain was told, and on which legal basis."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, shaped
from processors.conversion.changes import ConversionBatch
from schemas.reasons import Reason
from schemas.systems import Domain


def disclosures(changes: ConversionBatch) -> pa.Table:
    """Records of `disclosure.<domain>`, of changes without fault."""
    simple = {name: changes.columns[name] for name in ("entity", "revision", "municipality", "effective_on")}
    return shaped(
        "disclosure",
        {
            **simple,
            "domain": constant(changes.domain.id, len(changes)),
            "code": changes.codes,
            "case_code": changes.case_codes,
            "fields": fields(changes),
            "legal_basis": legal_bases(changes),
        },
    )


def fields(changes: ConversionBatch) -> pa.Array:
    """Names of the columns that each change shows something in."""
    shown = pa.repeat(pa.scalar(0, pa.int64()), len(changes))
    names: list[str] = []
    for entity, told in changes.columns_by_entity.items():
        is_set = changes.is_set(entity)
        for name, values in told.items():
            bit = pc.if_else(pc.and_(is_set, pc.is_valid(values)), 1 << len(names), 0)
            shown = pc.bit_wise_or(shown, bit)
            names.append(name)
    encoded = shown.dictionary_encode()
    lists = [_named(bits, names) for bits in encoded.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(encoded.indices)


def _named(bits: int, names: list[str]) -> list[str]:
    return [name for place, name in enumerate(names) if bits >> place & 1]


def legal_bases(changes: ConversionBatch) -> pa.Array:
    """Act and article for each change, by its entity and reason."""
    pairs = pc.binary_join_element_wise(
        changes.columns["entity"], pc.fill_null(changes.columns["reason"], ""), "/"
    ).dictionary_encode()
    bases = [_basis(changes.domain, *pair.split("/")) for pair in pairs.dictionary.to_pylist()]
    return pa.array(bases, pa.string()).take(pairs.indices)


def _basis(domain: Domain, entity: str, reason: str) -> str:
    return domain.basis(entity, Reason(reason) if reason else None)
