"""Operator commands that settle a conflict about a registration, as entries of persons' histories."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind
from processors.columns import arrow_schema, constant, struct_fields, struct_from_columns, table_from_columns
from processors.intake import formats, submission_limits
from processors.intake.submissions import Submissions
from schemas.submission_schemas import SUBMISSION_FIELDS
from schemas.topics import PERSON_CHANGE
from streams.contract import Output


def is_settlement(commands: Submissions, mesh: Cipher) -> pa.Array:
    """Return whether each command is a complete settlement of a person with a mesh code, and nothing else."""
    settlement = struct_fields(commands.column("settlement"))
    checks = {
        "municipality": formats.is_municipality_code,
        "notice": formats.is_notice,
        "registered_in": formats.is_municipality_code,
        "reason": formats.free_text(submission_limits.CHARACTERS_MAX["reason"]),
    }
    valid = pc.equal(commands.column("command"), "SETTLE")
    for name, check in checks.items():
        valid = pc.and_kleene(valid, check(settlement[name]))
    valid = pc.and_kleene(valid, pc.is_valid(mesh.values(settlement["person"], CodeKind.PERSON)))
    for field in ("dead_letter", "adoption", *SUBMISSION_FIELDS):
        valid = pc.and_kleene(valid, pc.is_null(commands.column(field)))
    within_limits = submission_limits.texts_fit(commands.table.select(["origin", "settlement"]))
    return pc.and_(pc.fill_null(valid, False), within_limits)


def settlement_outputs(commands: Submissions) -> Iterator[Output]:
    """Yield the records of `person.change`, in the order of the commands. Every command must be a settlement.

    The day of effect is the day of receipt in Japan.
    """
    if not len(commands):
        return
    settlement = struct_fields(commands.column("settlement"))
    type_ = arrow_schema("person-change").field("settlement").type
    fields = {
        "person": settlement["person"],
        "kind": constant("SETTLEMENT", len(commands)),
        "seq": constant(0, len(commands), pa.int64()),
        "effective_on": commands.received_on,
        "settlement": struct_from_columns({field.name: settlement[field.name] for field in type_}, type_),
        "received_at": commands.received_at,
        "origin": commands.origin,
    }
    yield Output(
        PERSON_CHANGE, "person-change", table_from_columns("person-change", fields), settlement["person"]
    )
