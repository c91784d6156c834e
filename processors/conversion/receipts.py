"""The conversion of receipts: from a domain's codes back to the mesh's codes."""

from __future__ import annotations

import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind, cases, mesh_codes
from processors.columns import (
    arrow_schema,
    constant,
    select_columns,
    struct_from_columns,
    table_from_columns,
)
from schemas.systems import Domain
from schemas.topics import RECEIPT
from streams.contract import Batch, Output, Poison, Result, Tables


class ReceiptConverter:
    """Converts records of `receipt.<domain>` into records of `receipt`, keyed by case or, without a case, by person.

    Poison: `unknown-code` if a code of a person or a case isn't one of this domain.
    """

    def __init__(self, domain: Domain, cipher: Cipher) -> None:
        self._domain, self._cipher = domain, cipher

    def convert(self, batch: Batch, tables: Tables) -> Result:
        """Return the converted receipts; `Poison.index` is a row of the batch."""
        received = select_columns(batch.table, ("code", "case_code", "entity", "revision", "applied_at"))
        person = mesh_codes(self._cipher, received["code"], CodeKind.PERSON)
        municipality, notice = cases(self._cipher, received["case_code"])
        case_known = pc.or_(pc.is_valid(municipality), pc.is_null(received["case_code"]))
        known = pc.and_(pc.is_valid(person), case_known)
        case = struct_from_columns(
            {"municipality": pc.fill_null(municipality, ""), "notice": pc.fill_null(notice, "")},
            arrow_schema("receipt").field("case").type,
            mask=pc.is_null(municipality),
        )
        fields = {name: received[name].filter(known) for name in ("entity", "revision", "applied_at")}
        fields |= {"person": person.filter(known), "case": case.filter(known)}
        fields["domain"] = constant(self._domain.id, len(fields["person"]))
        keys = pc.coalesce(pc.binary_join_element_wise(municipality, notice, "/"), person).filter(known)
        unknown = pc.indices_nonzero(pc.invert(known)).to_pylist()
        return Result(
            [Output(RECEIPT, "receipt", table_from_columns("receipt", fields), keys)],
            [Poison(0, row, "unknown-code") for row in unknown],
        )
