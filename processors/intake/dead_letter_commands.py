"""Operator commands on dead letters, passed on to the steps that have the dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import struct_fields, table_from_columns
from processors.intake import submission_limits
from processors.intake.submissions import Submissions
from schemas.submission_schemas import RESUBMISSION_FIELDS
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS, command_topic, sink_step
from streams.contract import Output

COMMAND_TYPES: Final = ("RETRY", "REPAIR", "DISMISS")
STEPS: Final = (*ORDERED_STEPS, *map(sink_step, DOMAINS))
_SCHEMA: Final = "dead-letter-command"
_DIGEST: Final = r"^[0-9a-f]{24}$"


def is_dead_letter_command(commands: Submissions) -> pa.Array:
    """Return whether each command is a complete command on a dead letter of a step that has a dead-letter queue.

    REPAIR, and no other, has a value; DISMISS has a reason; none has a submission to resubmit.
    """
    dead_letter, command = struct_fields(commands.column("dead_letter")), commands.column("command")
    known = pc.and_(
        pc.is_in(command, value_set=pa.array(COMMAND_TYPES)),
        pc.is_in(dead_letter["step"], value_set=pa.array(STEPS)),
    )
    has_digest = pc.match_substring_regex(dead_letter["digest"], _DIGEST)
    value_fits = pc.equal(pc.is_valid(dead_letter["value"]), pc.equal(command, "REPAIR"))
    reason_fits = pc.or_(pc.is_valid(dead_letter["reason"]), pc.not_equal(command, "DISMISS"))
    valid = pc.and_(pc.and_(known, has_digest), pc.and_(value_fits, reason_fits))
    for field in RESUBMISSION_FIELDS.values():
        valid = pc.and_(valid, pc.is_null(commands.column(field)))
    within_limits = submission_limits.texts_fit(commands.table.select(["origin", "dead_letter"]))
    return pc.and_(pc.fill_null(valid, False), within_limits)


def command_outputs(commands: Submissions) -> Iterator[Output]:
    """Yield the commands for each step, in their order. Every command must be a dead-letter command."""
    dead_letter = struct_fields(commands.column("dead_letter"))
    position = [commands.topic, commands.partition.cast(pa.string()), commands.offset.cast(pa.string())]
    fields = {
        "id": pc.binary_join_element_wise(*position, "/"),
        "command": commands.column("command"),
        **dead_letter,
    }
    for step in pc.unique(dead_letter["step"]).to_pylist():
        mask = pc.equal(dead_letter["step"], step)
        of_step = {name: column.filter(mask) for name, column in fields.items()}
        yield Output(command_topic(step), _SCHEMA, table_from_columns(_SCHEMA, of_step), of_step["digest"])
