"""Operator commands on dead letters, passed on to the steps that have the dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import row_indices, struct_fields, table_from_columns
from processors.intake import submission_limits
from processors.intake.submissions import Submissions
from schemas.submission_schemas import SUBMISSION_FIELDS
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS, command_topic, sink_step
from streams.contract import Output

COMMAND_TYPES: Final = ("RETRY", "REPAIR", "DISMISS")
STEPS: Final = (*ORDERED_STEPS, *map(sink_step, DOMAINS))
_SCHEMA: Final = "dead-letter-command"
_DIGEST: Final = r"^[0-9a-f]{24}$"


def is_dead_letter_command(commands: Submissions) -> pa.Array:
    """Return whether each command is a complete command on dead letters of a step that has a dead-letter queue.

    REPAIR, and no other, has a value; DISMISS has a reason, and may name several dead letters; none has a submission to
    resubmit or a settlement.
    """
    dead_letter, command = struct_fields(commands.column("dead_letter")), commands.column("command")
    known = pc.and_(
        pc.is_in(command, value_set=pa.array(COMMAND_TYPES)),
        pc.is_in(dead_letter["step"], value_set=pa.array(STEPS)),
    )
    has_digest = _names_dead_letters(dead_letter["digest"], dead_letter["digests"], command)
    value_fits = pc.equal(pc.is_valid(dead_letter["value"]), pc.equal(command, "REPAIR"))
    reason_fits = pc.or_(pc.is_valid(dead_letter["reason"]), pc.not_equal(command, "DISMISS"))
    valid = pc.and_(pc.and_(known, has_digest), pc.and_(value_fits, reason_fits))
    for field in ("settlement", "adoption", *SUBMISSION_FIELDS):
        valid = pc.and_(valid, pc.is_null(commands.column(field)))
    within_limits = submission_limits.texts_fit(commands.table.select(["origin", "dead_letter"]))
    return pc.and_(pc.fill_null(valid, False), within_limits)


def _names_dead_letters(one: pa.Array, several: pa.Array, command: pa.Array) -> pa.Array:
    """Return whether each command names one dead letter or, only to dismiss them, several."""
    length = pc.fill_null(pc.list_value_length(several), 0)
    is_digest = pc.match_substring_regex(several.flatten(), _DIGEST)
    faulty = pc.list_parent_indices(several).filter(pc.invert(is_digest)).cast(pa.int64())
    all_digests = pc.invert(pc.is_in(row_indices(len(several)), value_set=faulty))
    within_limit = pc.and_(pc.greater(length, 0), pc.less_equal(length, submission_limits.DEAD_LETTERS_MAX))
    names_several = pc.and_(pc.and_(all_digests, within_limit), pc.equal(command, "DISMISS"))
    names_one = pc.and_(pc.match_substring_regex(one, _DIGEST), pc.equal(length, 0))
    return pc.or_(names_one, pc.and_(pc.equal(one, ""), names_several))


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
