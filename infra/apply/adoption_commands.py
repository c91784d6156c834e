"""Commands to adopt the declarations: when they have changed, everybody whom they concern is published again.

The command is submitted once all workers have the new declarations: a reader of before would not know what is published
by them. A worker of fan-out compares its number with the command's (`processors.fan_out.adoption`).
"""

from __future__ import annotations

from infra.apply.accepted_events import declared_events
from infra.apply.applied_declarations import (
    AppliedDeclarations,
    applied_declarations,
    declared_fields,
    declared_readings,
    write_applied,
)
from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.triage.operator_commands import submit_command
from infra.triage.records import read_rows
from schemas.declaration_digests import digest_of_all
from schemas.submission_schemas import OPERATOR_COMMAND
from schemas.systems import OPERATOR
from schemas.topics import input_topic


def number_declarations(environment: Environment, installation: Installation) -> None:
    """Give the declarations the next number, if they differ from those that were applied last.

    If the file is lost, the next number is that after the highest that was ever submitted: with a lower one, no worker
    would get past the commands of before in a replay.
    """
    applied, digest = applied_declarations(installation), digest_of_all()
    if applied.digest != digest:
        last = applied.number or _highest_submitted(environment, installation)
        declared = AppliedDeclarations(
            number=last + 1,
            digest=digest,
            readings=declared_readings(),
            fields={**applied.fields, **declared_fields()},
            events={**applied.events, **declared_events()},
        )
        write_applied(installation, declared)
    elif not applied.events:  # An earlier release has written the file.
        write_applied(installation, applied.model_copy(update={"events": declared_events()}))


def submit_adoption(environment: Environment, installation: Installation) -> int | None:
    """Submit the command to adopt the declarations, unless it was. Return their number; None if there is none."""
    applied = applied_declarations(installation)
    if applied.is_submitted:
        return None
    origin = {"topic": input_topic(OPERATOR), "partition": 0, "offset": 0}
    command = {"command": "ADOPT", "origin": origin, "adoption": applied.number}
    submit_command(environment, codec(environment, installation), command)
    write_applied(installation, applied.model_copy(update={"is_submitted": True}))
    return applied.number


def _highest_submitted(environment: Environment, installation: Installation) -> int:
    commands = read_rows(
        environment, codec(environment, installation), OPERATOR_COMMAND, [input_topic(OPERATOR)]
    )
    return max((command["adoption"] or 0 for command in commands), default=0)
