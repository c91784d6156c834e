"""Hand-overs without fault, in the mesh's codes: records for `notice` and `person.change`."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, person_codes
from processors.columns import arrow_schema, constant, none_to_null, shaped, starts, struct
from processors.intake import facts
from processors.intake.csv_notices import CsvNotices
from processors.intake.json_notices import JsonNotices
from processors.intake.submissions import Submissions, resubmitted


def notices_of_rows(hand_overs: Submissions, rows: CsvNotices, digests: pa.Array, mesh: Cipher) -> pa.Table:
    """Records of `notice` from rows of CSV, all of which are good."""
    of_notice = {name: column.take(rows.first) for name, column in rows.columns.items()}
    given = {**rows.columns, "birth_date": rows.days["birth_date"]}
    given["protected"] = pc.equal(rows.columns["protected"], "1")
    persons = _persons(given, rows.reasons, rows.columns["municipality"], mesh)
    listed = {"persons": _listed(persons, rows.lengths)}
    days = {name: rows.days[name].take(rows.first) for name in ("effective_on", "recorded_on")}
    codes = {name: none_to_null(of_notice[name]) for name in ("moved_from", "moved_to", "cancels")}
    named = {name: of_notice[name] for name in ("municipality", "notice")}
    reason = facts.symbols(rows.reasons.take(rows.first))
    return shaped(
        "notice", {**_frame(hand_overs, digests), **named, **days, **codes, **listed, "reason": reason}
    )


def notices_of_events(
    hand_overs: Submissions, events: JsonNotices, digests: pa.Array, mesh: Cipher
) -> pa.Table:
    """Records of `notice` from events (JSON), all of which are good."""
    municipality = events.columns["municipality"]
    owners = events.parents
    given = {**events.persons, "birth_date": events.birth_dates}
    persons = _persons(given, events.reasons.take(owners), municipality.take(owners), mesh)
    household = events.columns["household"]
    said = facts.facts(events.to, events.reasons, municipality, mesh)
    fields = {
        "municipality": municipality,
        "notice": events.columns["notice"],
        **events.days,
        **events.passing,
        "reason": facts.symbols(events.reasons),
        "persons": _listed(persons, events.lengths, mask=pc.is_valid(household)),
        "household": facts.households(municipality, household, mesh),
        "to": _only_where(said, events.to_given),
    }
    return shaped("notice", {**_frame(hand_overs, digests), **fields})


def person_changes(
    hand_overs: Submissions, codes: pa.Array, fields: Mapping[str, pa.Array], mesh: Cipher
) -> pa.Table:
    """Records of `person.change` that come of no notice: `codes` are resident record codes."""
    frame = {"origin": hand_overs.origin, "received_at": hand_overs.received_at}
    seq = constant(0, len(hand_overs), pa.int64())
    return shaped("person-change", {**frame, "person": person_codes(mesh, codes), "seq": seq, **fields})


def _frame(hand_overs: Submissions, digests: pa.Array) -> dict[str, pa.Array]:
    return {
        "digest": digests,
        "resubmitted": resubmitted(hand_overs),
        "origin": hand_overs.origin,
        "received_at": hand_overs.received_at,
    }


def _persons(
    given: Mapping[str, pa.Array], reasons: pa.Array, municipalities: pa.Array, mesh: Cipher
) -> pa.StructArray:
    fields = {
        "person": person_codes(mesh, given["code"]),
        "local_number": given["local_number"],
        "facts": facts.facts(given, reasons, municipalities, mesh),
    }
    return struct(fields, arrow_schema("notice").field("persons").type.value_type)


def _listed(persons: pa.StructArray, lengths: pa.Array, mask: pa.Array | None = None) -> pa.ListArray:
    type_ = arrow_schema("notice").field("persons").type
    return pa.ListArray.from_arrays(starts(lengths), persons, type=type_, mask=mask)


def _only_where(said: pa.StructArray, given: pa.Array) -> pa.StructArray:
    return pc.if_else(given, said, pa.scalar(None, said.type))
