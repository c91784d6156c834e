"""Operator commands to resubmit: the rejected submission inside a command, with its original submitter and origin."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import arrow_schema, list_offsets, row_indices, struct_fields
from processors.intake import submission_limits
from processors.intake.submissions import Submissions, publishes_schema
from schemas.submission_schemas import DECLARED, GENERATED_SCHEMAS, RESUBMISSION_FIELDS, SUBMISSION_FIELDS

#: A number of a line, as text.
_LINE: Final = "^[0-9]{1,9}$"


def is_resubmission(commands: Submissions) -> pa.Array:
    """Return whether each command resubmits exactly one submission, and one that its original topic may have."""
    topics = struct_fields(commands.column("origin"))["topic"]
    is_set = {field: pc.is_valid(commands.column(field)) for field in SUBMISSION_FIELDS}
    count = reduce(pc.add, (column.cast(pa.int8()) for column in is_set.values()))
    valid = pc.and_(pc.equal(commands.column("command"), "RESUBMIT"), pc.equal(count, 1))
    for field in ("dead_letter", "settlement", "adoption"):
        valid = pc.and_(valid, pc.is_null(commands.column(field)))
    for schema, field in RESUBMISSION_FIELDS.items():
        fits_topic = pc.or_(pc.invert(is_set[field]), publishes_schema(topics, schema))
        valid = pc.and_(valid, fits_topic)
    valid = pc.and_(valid, pc.or_(pc.invert(is_set[DECLARED]), _is_declared(commands, topics)))
    # Intake judges the texts of the submission itself.
    return pc.and_(pc.fill_null(valid, False), submission_limits.texts_fit(commands.table.select(["origin"])))


def _is_declared(commands: Submissions, topics: pa.Array) -> pa.Array:
    """Return whether field `declared` of each command has a schema of its topic, and no field twice or unknown."""
    declared = struct_fields(commands.column(DECLARED))
    fits = pa.repeat(pa.scalar(False), len(commands))
    for schema in GENERATED_SCHEMAS:
        is_schema = pc.fill_null(pc.equal(declared["schema"], schema), False)
        if pc.any(is_schema).as_py():
            known = _has_only(arrow_schema(schema), declared["values"])
            fits = pc.or_(fits, pc.and_(is_schema, pc.and_(publishes_schema(topics, schema), known)))
    return fits


def _has_only(fields: pa.Schema, values: pa.ListArray) -> pa.Array:
    """Return whether the values in each list have names of these fields, each at most once if it isn't a list."""
    parents = pc.list_parent_indices(values).cast(pa.int64())
    names = pa.array(fields.names, pa.string())
    found = pc.index_in(struct_fields(values.flatten())["name"], value_set=names)
    repeatable = pa.array([pa.types.is_list(field.type) for field in fields], pa.bool_()).take(found)
    # One number for a name in a list: the second of two equal ones isn't at its own index.
    keys = pc.add(pc.multiply(parents, len(names)), found.cast(pa.int64()))
    is_first = pc.equal(pc.index_in(keys, value_set=keys).cast(pa.int64()), row_indices(len(keys)))
    fits = pc.and_(pc.is_valid(found), pc.or_(is_first, pc.fill_null(repeatable, False)))
    invalid = parents.filter(pc.invert(fits))
    return pc.invert(pc.is_in(row_indices(len(values)), value_set=invalid))


def submissions_by_schema(commands: Submissions) -> Iterator[tuple[str, Submissions, pa.Array]]:
    """Yield per schema: its name, the submissions to resubmit, and for each the row of its command in `commands`.

    Rows are int64. Every command must be a resubmission.
    """
    for schema, field in RESUBMISSION_FIELDS.items():
        is_set = pc.is_valid(commands.column(field))
        of_schema = commands.filter(is_set)
        if len(of_schema):
            table = pa.Table.from_pydict(struct_fields(of_schema.column(field)))
            yield schema, _original(of_schema, table), pc.indices_nonzero(is_set).cast(pa.int64())
    schemas = struct_fields(commands.column(DECLARED))["schema"]
    for schema in GENERATED_SCHEMAS:
        is_schema = pc.fill_null(pc.equal(schemas, schema), False)
        of_schema = commands.filter(is_schema)
        if len(of_schema):
            table = _declared_table(schema, struct_fields(of_schema.column(DECLARED))["values"])
            yield schema, _original(of_schema, table), pc.indices_nonzero(is_schema).cast(pa.int64())


def _declared_table(schema: str, lists: pa.ListArray) -> pa.Table:
    """Return the table of a generated schema with the values of each list; null for a field without a value."""
    parents = pc.list_parent_indices(lists).cast(pa.int64())
    names, values = struct_fields(lists.flatten()).values()
    columns = []
    for field in arrow_schema(schema):
        is_field = pc.equal(names, field.name)
        if pa.types.is_list(field.type):
            columns.append(_items(lists, parents.filter(is_field), values.filter(is_field), field.type))
            continue
        rows = pc.index_in(row_indices(len(lists)), value_set=parents.filter(is_field))
        texts = values.filter(is_field).take(rows)
        if not pa.types.is_string(field.type):
            texts = pc.if_else(pc.match_substring_regex(texts, _LINE), texts, None)
        columns.append(texts.cast(field.type))
    return pa.Table.from_arrays(columns, schema=arrow_schema(schema))


def _items(lists: pa.ListArray, parents: pa.Array, values: pa.Array, type_: pa.DataType) -> pa.Array:
    """Return a column of lists: for each of `lists` the values that are its own; null where it has none."""
    counts = pc.value_counts(parents)
    rows = pc.index_in(row_indices(len(lists)), value_set=counts.field("values"))
    lengths = counts.field("counts").take(rows)
    offsets = list_offsets(pc.fill_null(lengths, 0))
    return pa.ListArray.from_arrays(offsets, values, mask=pc.is_null(lengths)).cast(type_)


def _original(commands: Submissions, table: pa.Table) -> Submissions:
    origin = struct_fields(commands.column("origin"))
    return Submissions(
        table, origin["topic"], origin["partition"], origin["offset"], commands.received_ms, resubmitted=True
    )
