"""Officers' acts on dead letters, passed on to the steps that set them aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import fields_of, shaped
from processors.intake.resubmissions import KINDS
from processors.intake.submissions import Submissions
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS, command_topic, sink_step
from streams.contract import Output

ACTS: Final = ("RETRY", "REPAIR", "DISMISS")
STEPS: Final = (*ORDERED_STEPS, *map(sink_step, DOMAINS))
_SCHEMA: Final = "dead-letter-command"
_DIGEST: Final = r"^[0-9a-f]{24}$"


def is_dead_letter_command(acts: Submissions) -> pa.Array:
    """Whether each act is on a letter, and says all that is needed of a step that has letters."""
    letter, act = fields_of(acts.column("dead_letter")), acts.column("command")
    known = pc.and_(
        pc.is_in(act, value_set=pa.array(ACTS)), pc.is_in(letter["step"], value_set=pa.array(STEPS))
    )
    named = pc.match_substring_regex(letter["digest"], _DIGEST)
    valued = pc.equal(pc.is_valid(letter["value"]), pc.equal(act, "REPAIR"))
    explained = pc.or_(pc.is_valid(letter["reason"]), pc.not_equal(act, "DISMISS"))
    good = pc.and_(pc.and_(known, named), pc.and_(valued, explained))
    for field in KINDS:
        good = pc.and_(good, pc.is_null(acts.column(field)))
    return pc.fill_null(good, False)


def passed_on(acts: Submissions) -> Iterator[Output]:
    """The acts for each step, in their order; all must be on letters."""
    letter = fields_of(acts.column("dead_letter"))
    places = [acts.topic, acts.partition.cast(pa.string()), acts.offset.cast(pa.string())]
    given = {"id": pc.binary_join_element_wise(*places, "/"), "command": acts.column("command"), **letter}
    for step in pc.unique(letter["step"]).to_pylist():
        mine = pc.equal(letter["step"], step)
        fields = {name: column.filter(mine) for name, column in given.items()}
        yield Output(command_topic(step), _SCHEMA, shaped(_SCHEMA, fields), fields["digest"])
