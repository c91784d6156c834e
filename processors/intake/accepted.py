"""Records of `notice` and `person.change` for valid submissions, with mesh codes."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, household_codes, person_codes
from processors.columns import (
    arrow_schema,
    constant,
    empty_to_null,
    list_offsets,
    struct_from_columns,
    table_from_columns,
)
from processors.intake import facts
from processors.intake.csv_notices import CsvNotices
from processors.intake.json_notices import JsonNotices
from processors.intake.submissions import Submissions, resubmitted_column


def notices_from_csv(
    submissions: Submissions, notices: CsvNotices, digests: pa.Array, mesh: Cipher
) -> pa.Table:
    """Return records of `notice` for CSV rows, all of them valid."""
    of_notice = {name: column.take(notices.first) for name, column in notices.columns.items()}
    of_person = {**notices.columns, "birth_date": notices.days["birth_date"]}
    of_person["protected"] = pc.equal(notices.columns["protected"], "1")
    persons = _persons(of_person, notices.reasons, notices.columns["municipality"], mesh)
    fields = {
        **{name: of_notice[name] for name in ("municipality", "notice")},
        **{name: notices.days[name].take(notices.first) for name in ("effective_on", "recorded_on")},
        **{name: empty_to_null(of_notice[name]) for name in ("moved_from", "moved_to", "cancels")},
        "reason": facts.reason_symbols(notices.reasons.take(notices.first)),
        "persons": _person_lists(persons, notices.lengths),
    }
    return table_from_columns("notice", {**_common_fields(submissions, digests), **fields})


def notices_from_json(
    submissions: Submissions, notices: JsonNotices, digests: pa.Array, mesh: Cipher
) -> pa.Table:
    """Return records of `notice` for JSON notices, all of them valid."""
    municipality = notices.columns["municipality"]
    of_person = {**notices.persons, "birth_date": notices.birth_dates}
    persons = _persons(
        of_person, notices.reasons.take(notices.parents), municipality.take(notices.parents), mesh
    )
    household = notices.columns["household"]
    to = facts.facts(notices.to, notices.reasons, municipality, mesh)
    fields = {
        "municipality": municipality,
        "notice": notices.columns["notice"],
        **notices.days,
        **notices.optional_codes,
        "reason": facts.reason_symbols(notices.reasons),
        "persons": _person_lists(persons, notices.lengths, mask=pc.is_valid(household)),
        "household": household_codes(mesh, municipality, household),
        "to": pc.if_else(notices.has_to, to, pa.scalar(None, to.type)),
    }
    return table_from_columns("notice", {**_common_fields(submissions, digests), **fields})


def person_changes(
    submissions: Submissions, codes: pa.Array, fields: Mapping[str, pa.Array], mesh: Cipher
) -> pa.Table:
    """Return records of `person.change` for enrolments and account events; `codes` are resident record codes."""
    return changes_of_persons(submissions, person_codes(mesh, codes), fields)


def changes_of_persons(
    submissions: Submissions, persons: pa.Array, fields: Mapping[str, pa.Array]
) -> pa.Table:
    """Return records of `person.change`, one for each submission; `persons` are mesh codes."""
    common = {"origin": submissions.origin, "received_at": submissions.received_at}
    seq = constant(0, len(submissions), pa.int64())
    return table_from_columns("person-change", {**common, "person": persons, "seq": seq, **fields})


def _common_fields(submissions: Submissions, digests: pa.Array) -> dict[str, pa.Array]:
    return {
        "digest": digests,
        "resubmitted": resubmitted_column(submissions),
        "origin": submissions.origin,
        "received_at": submissions.received_at,
    }


def _persons(
    columns: Mapping[str, pa.Array], reasons: pa.Array, municipalities: pa.Array, mesh: Cipher
) -> pa.StructArray:
    fields = {
        "person": person_codes(mesh, columns["code"]),
        "local_number": columns["local_number"],
        "facts": facts.facts(columns, reasons, municipalities, mesh),
    }
    return struct_from_columns(fields, arrow_schema("notice").field("persons").type.value_type)


def _person_lists(persons: pa.StructArray, lengths: pa.Array, mask: pa.Array | None = None) -> pa.ListArray:
    type_ = arrow_schema("notice").field("persons").type
    return pa.ListArray.from_arrays(list_offsets(lengths), persons, type=type_, mask=mask)
