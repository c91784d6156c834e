"""Submissions as received: the content, the submitter, the origin, and the time of receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import arrow_schema, constant, contiguous, map_distinct, struct_from_columns
from processors.intake import submission_limits
from processors.japan import DAY_MS, JAPAN_AHEAD_MS
from schemas.systems import SYSTEMS
from schemas.topics import parse_input_topic
from streams.contract import Batch

#: The columns of an origin that schemas of submissions from files have.
_PLACE_IN_FILE: Final = (("file", pa.string()), ("line", pa.int32()))


@dataclass(frozen=True)
class Submissions:
    """Submissions of one schema: `table` has a row per submission, with the schema's columns.

    `topic`, `partition`, `offset` and `received_ms` (ms since 1970, the broker's time) are those of the record. If an
    operator resubmitted the submission, `received_ms` is the time of the operator command, and all else is of the
    original record.
    """

    table: pa.Table
    topic: pa.Array
    partition: pa.Array
    offset: pa.Array
    received_ms: pa.Array
    resubmitted: bool = False

    def __len__(self) -> int:
        return len(self.topic)

    @cached_property
    def system(self) -> pa.Array:
        """The submitting system, from the topic's name: only its user may write the topic."""
        return map_distinct(
            self.topic,
            lambda topics: pa.array(
                [parse_input_topic(topic)[0] for topic in topics.to_pylist()], pa.string()
            ),
        )

    @cached_property
    def municipality(self) -> pa.Array:
        """The submitting municipality, from the topic's name; null for national systems."""
        return map_distinct(
            self.topic,
            lambda topics: pa.array(
                [parse_input_topic(topic)[1] for topic in topics.to_pylist()], pa.string()
            ),
        )

    @cached_property
    def received_on(self) -> pa.Array:
        """The day of receipt in Japan's time (date32)."""
        return pc.divide(pc.add(self.received_ms, JAPAN_AHEAD_MS), DAY_MS).cast(pa.int32()).cast(pa.date32())

    @property
    def received_at(self) -> pa.Array:
        """The time of receipt as a timestamp."""
        return self.received_ms.cast(pa.timestamp("ms"))

    @cached_property
    def origin(self) -> pa.StructArray:
        """The origin of each submission as record `Origin`."""
        position = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        # A name over its limit is the reason for a rejection, which must stay small.
        fits = submission_limits.is_within(self.column("file"), submission_limits.FILE)
        file_and_line = {"file": pc.if_else(fits, self.column("file"), None), "line": self.column("line")}
        type_ = arrow_schema("rejected").field("origin").type
        return struct_from_columns({**position, **file_and_line}, type_)

    def column(self, name: str) -> pa.Array:
        """Return a column of the content as one array."""
        return contiguous(self.table.column(name))

    def filter(self, mask: pa.Array) -> Submissions:
        """Return the submissions where `mask` is true."""
        return self._each(lambda column: column.filter(mask))

    def take(self, rows: pa.Array) -> Submissions:
        """Return the submissions of these rows (int64); one whose row occurs twice is there twice."""
        return self._each(lambda column: column.take(rows))

    def _each(self, of: Callable[[Any], Any]) -> Submissions:
        return replace(
            self,
            table=of(self.table),
            topic=of(self.topic),
            partition=of(self.partition),
            offset=of(self.offset),
            received_ms=of(self.received_ms),
        )


def submissions_of(batch: Batch) -> Submissions:
    """Return the records of a batch as submissions; those that come from no file have null as file and line."""
    names = ("topic", "partition", "offset", "timestamp_ms")
    topic, partition, offset, timestamp_ms = (contiguous(batch.meta.column(name)) for name in names)
    table = batch.table
    for name, type_ in _PLACE_IN_FILE:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), type_))
    return Submissions(table, topic, partition, offset, timestamp_ms)


def publishes_schema(topics: pa.Array, schema: str) -> pa.Array:
    """Return whether each topic is the input topic of a system that publishes this schema."""
    return map_distinct(
        topics,
        lambda distinct: pa.array([_publishes(topic, schema) for topic in distinct.to_pylist()], pa.bool_()),
    )


def _publishes(topic: str, schema: str) -> bool:
    try:
        system, municipality = parse_input_topic(topic)
    except ValueError:
        return False
    return SYSTEMS[system].publishes == schema and SYSTEMS[system].municipal == (municipality is not None)


def equal_or_both_null(left: pa.Array, right: pa.Array) -> pa.Array:
    """Return whether two columns are equal, row by row; null equals null."""
    equal = pc.fill_null(pc.equal(left, right), False)
    return pc.or_(equal, pc.and_(pc.is_null(left), pc.is_null(right)))


def resubmitted_column(submissions: Submissions) -> pa.Array:
    """Return the column `resubmitted` of accepted records."""
    return constant(submissions.resubmitted, len(submissions), pa.bool_())
