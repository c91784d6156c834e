"""Operator commands by which `mesh apply` lets the workers adopt the declarations; each reaches every partition."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, table_from_columns
from processors.intake.submissions import Submissions
from schemas.submission_schemas import SUBMISSION_FIELDS
from schemas.topics import PERSON_CHANGE
from streams.contract import Output


def is_adoption(commands: Submissions) -> pa.Array:
    """Return whether each command adopts the declarations of a number, and nothing else."""
    number = commands.column("adoption")
    valid = pc.and_(pc.equal(commands.column("command"), "ADOPT"), pc.greater(pc.fill_null(number, 0), 0))
    for field in ("dead_letter", "settlement", *SUBMISSION_FIELDS):
        valid = pc.and_(valid, pc.is_null(commands.column(field)))
    return pc.fill_null(valid, False)


def adoption_outputs(commands: Submissions) -> Iterator[Output]:
    """Yield the records of `person.change` for every partition. Every command must be an adoption."""
    count = len(commands)
    if not count:
        return
    fields = {
        "person": constant("", count),
        "kind": constant("ADOPTED", count),
        "declarations": commands.column("adoption"),
        "effective_on": commands.received_on,
        "seq": constant(0, count, pa.int64()),
        "origin": commands.origin,
        "received_at": commands.received_at,
    }
    table = table_from_columns("person-change", fields)
    yield Output(PERSON_CHANGE, "person-change", table, fields["person"], broadcast=True)
