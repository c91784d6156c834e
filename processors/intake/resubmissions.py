"""What an officer sends again: the hand-over as it came, for whom it was first handed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import fields_of
from processors.intake.submissions import Submissions, publishes_schema

#: The hand-over's field, and its schema.
KINDS: Final = {
    "juki_cs": "juki-cs-notice",
    "juki": "juki-notice",
    "enrolment": "enrolment",
    "portal_event": "portal-event",
}


def acceptable(acts: Submissions) -> pa.Array:
    """Whether each act is to send again exactly one hand-over, of a kind that its first topic's system hands over."""
    topics = fields_of(acts.column("origin"))["topic"]
    given = {field: pc.is_valid(acts.column(field)) for field in KINDS}
    count = pc.add(
        *(_sum(given[a], given[b]) for a, b in (("juki_cs", "juki"), ("enrolment", "portal_event")))
    )
    good = pc.and_(pc.equal(acts.column("command"), "RESUBMIT"), pc.equal(count, 1))
    good = pc.and_(good, pc.is_null(acts.column("dead_letter")))
    for field, schema in KINDS.items():
        fits = pc.or_(pc.invert(given[field]), publishes_schema(topics, schema))
        good = pc.and_(good, fits)
    return pc.fill_null(good, False)


def _sum(left: pa.Array, right: pa.Array) -> pa.Array:
    return pc.add(left.cast(pa.int8()), right.cast(pa.int8()))


def sent_again(acts: Submissions) -> Iterator[tuple[str, Submissions, pa.Array]]:
    """For each kind: its schema, the hand-overs, their places (int64) among the acts. All acts must be acceptable."""
    for field, schema in KINDS.items():
        given = pc.is_valid(acts.column(field))
        mine = acts.filter(given)
        if len(mine):
            yield schema, _first_handed_over(mine, field), pc.indices_nonzero(given).cast(pa.int64())


def _first_handed_over(acts: Submissions, field: str) -> Submissions:
    origin = fields_of(acts.column("origin"))
    table = pa.Table.from_pydict(fields_of(acts.column(field)))
    return Submissions(
        table, origin["topic"], origin["partition"], origin["offset"], acts.received_ms, resubmitted=True
    )


def in_place(acts: Submissions) -> Submissions:
    """The acts themselves as what is refused: no file, no line."""
    nowhere = {"file": pa.nulls(len(acts), pa.string()), "line": pa.nulls(len(acts), pa.int32())}
    return Submissions(pa.table(nowhere), acts.topic, acts.partition, acts.offset, acts.received_ms)
