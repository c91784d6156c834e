"""Receipts on their way back: from a domain's own codes to the mesh's."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind, cases, mesh_codes
from processors.columns import arrow_schema, columns, constant, shaped, struct
from schemas.systems import Domain


def receipts(domain: Domain, cipher: Cipher, table: pa.Table) -> tuple[pa.Table, pa.Array, pa.Array]:
    """Records of `receipt`, their keys, and of each row whether its codes are this domain's own.

    Records and keys are only of the rows that are.
    """
    given = columns(table, ("code", "case_code", "entity", "revision", "applied_at"))
    person = mesh_codes(cipher, given["code"], CodeKind.PERSON)
    municipality, notice = cases(cipher, given["case_code"])
    case_known = pc.or_(pc.is_valid(municipality), pc.is_null(given["case_code"]))
    known = pc.and_(pc.is_valid(person), case_known)
    case = struct(
        {"municipality": pc.fill_null(municipality, ""), "notice": pc.fill_null(notice, "")},
        arrow_schema("receipt").field("case").type,
        mask=pc.is_null(municipality),
    )
    fields = {name: given[name].filter(known) for name in ("entity", "revision", "applied_at")}
    fields |= {"person": person.filter(known), "case": case.filter(known)}
    fields["domain"] = constant(domain.id, len(fields["person"]))
    keys = pc.coalesce(pc.binary_join_element_wise(municipality, notice, "/"), person).filter(known)
    return shaped("receipt", fields), keys, known
