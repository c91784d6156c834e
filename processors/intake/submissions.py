"""Hand-overs as they were filed: who speaks, where each stands, when it came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import arrow_schema, by_unique, constant, struct, whole
from schemas.systems import SYSTEMS
from schemas.topics import parse_input_topic
from streams.contract import Batch


@dataclass(frozen=True)
class Submissions:
    """Hand-overs of one schema (`table`, its columns), a row each.

    `topic`, `partition`, `offset` and `received_ms` are of the record that holds it; where an officer sent it again,
    `received_ms` is of the officer's act, all else of where it stood first.
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
        """System that hands over, by the topic's name: only its user can write there."""
        return by_unique(
            self.topic,
            lambda topics: pa.array([parse_input_topic(t)[0] for t in topics.to_pylist()], pa.string()),
        )

    @cached_property
    def municipality(self) -> pa.Array:
        """Municipality the submitter speaks for, by the topic's name; null for national systems."""
        return by_unique(
            self.topic,
            lambda topics: pa.array([parse_input_topic(t)[1] for t in topics.to_pylist()], pa.string()),
        )

    @property
    def received_at(self) -> pa.Array:
        """Moment of receipt, as timestamp."""
        return self.received_ms.cast(pa.timestamp("ms"))

    @cached_property
    def origin(self) -> pa.StructArray:
        """Where each stands, as the record `Origin`."""
        fields = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        places = {name: self.column(name) for name in ("file", "line")}
        return struct({**fields, **places}, arrow_schema("rejected").field("origin").type)

    def column(self, name: str) -> pa.Array:
        """A column of the hand-over, whole."""
        return whole(self.table.column(name))

    def filter(self, keep: pa.Array) -> Submissions:
        """Those where `keep` is true."""
        return replace(
            self,
            table=self.table.filter(keep),
            topic=self.topic.filter(keep),
            partition=self.partition.filter(keep),
            offset=self.offset.filter(keep),
            received_ms=self.received_ms.filter(keep),
        )


def submissions_of(batch: Batch) -> Submissions:
    """The records of a batch as they came."""
    meta = {name: whole(batch.meta.column(name)) for name in ("topic", "partition", "offset", "timestamp_ms")}
    return Submissions(batch.table, meta["topic"], meta["partition"], meta["offset"], meta["timestamp_ms"])


def publishes_schema(topics: pa.Array, schema: str) -> pa.Array:
    """Whether each topic is a system's that hands over events of this schema."""
    return by_unique(topics, lambda u: pa.array([_publishes(t, schema) for t in u.to_pylist()], pa.bool_()))


def _publishes(topic: str, schema: str) -> bool:
    try:
        system, municipality = parse_input_topic(topic)
    except ValueError:
        return False
    return SYSTEMS[system].publishes == schema and SYSTEMS[system].municipal == (municipality is not None)


def agreed(left: pa.Array, right: pa.Array) -> pa.Array:
    """Whether two columns say the same, row by row; null and null do."""
    same = pc.fill_null(pc.equal(left, right), False)
    return pc.or_(same, pc.and_(pc.is_null(left), pc.is_null(right)))


def resubmitted(hand_overs: Submissions) -> pa.Array:
    """The column `resent`."""
    return constant(hand_overs.resubmitted, len(hand_overs), pa.bool_())
