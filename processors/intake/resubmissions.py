"""Operator commands to resubmit: the rejected submission inside a command, with its original submitter and origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import struct_fields
from processors.intake import submission_limits
from processors.intake.submissions import Submissions, publishes_schema
from schemas.submission_schemas import RESUBMISSION_FIELDS


def is_resubmission(commands: Submissions) -> pa.Array:
    """Return whether each command resubmits exactly one submission, and one that its original topic may have."""
    topics = struct_fields(commands.column("origin"))["topic"]
    is_set = {field: pc.is_valid(commands.column(field)) for field in RESUBMISSION_FIELDS.values()}
    count = reduce(pc.add, (column.cast(pa.int8()) for column in is_set.values()))
    valid = pc.and_(pc.equal(commands.column("command"), "RESUBMIT"), pc.equal(count, 1))
    for field in ("dead_letter", "settlement"):
        valid = pc.and_(valid, pc.is_null(commands.column(field)))
    for schema, field in RESUBMISSION_FIELDS.items():
        fits_topic = pc.or_(pc.invert(is_set[field]), publishes_schema(topics, schema))
        valid = pc.and_(valid, fits_topic)
    # Intake judges the texts of the submission itself.
    return pc.and_(pc.fill_null(valid, False), submission_limits.texts_fit(commands.table.select(["origin"])))


def submissions_by_schema(commands: Submissions) -> Iterator[tuple[str, Submissions, pa.Array]]:
    """Yield per schema: its name, the submissions to resubmit, and for each the row of its command in `commands`.

    Rows are int64. Every command must be a resubmission.
    """
    for schema, field in RESUBMISSION_FIELDS.items():
        is_set = pc.is_valid(commands.column(field))
        of_schema = commands.filter(is_set)
        if len(of_schema):
            yield schema, _original(of_schema, field), pc.indices_nonzero(is_set).cast(pa.int64())


def _original(commands: Submissions, field: str) -> Submissions:
    origin = struct_fields(commands.column("origin"))
    table = pa.Table.from_pydict(struct_fields(commands.column(field)))
    return Submissions(
        table, origin["topic"], origin["partition"], origin["offset"], commands.received_ms, resubmitted=True
    )


def without_file(commands: Submissions) -> Submissions:
    """Return commands with the columns of an origin: they have no file and no line."""
    table = commands.table
    for name, type_ in (("file", pa.string()), ("line", pa.int32())):
        table = table.append_column(name, pa.nulls(len(commands), type_))
    return replace(commands, table=table)
