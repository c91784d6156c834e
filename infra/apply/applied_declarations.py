"""The number of the applied declarations: when they have changed, everybody whom they concern is published again.

The file `declarations.json` in MESH_HOME has the number, which only grows, and the digest of the declarations. A worker
of fan-out reads the number when it starts (`processors.fan_out.adoption`). The command to adopt them is submitted once
all workers have the new declarations: a reader of before would not know what is published by them.
"""

from __future__ import annotations

from typing import Any

import orjson

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.local.home import write_json


def applied_number(installation: Installation) -> int:
    """Return the number of the declarations that were applied last; 0 before the first `mesh apply`."""
    return int(_read(installation)["number"])


def number_declarations(environment: Environment, installation: Installation) -> None:
    """Give the declarations the next number, if they differ from those that were applied last.

    If the file is lost, the next number is that after the highest that was ever submitted: with a lower one, no worker
    would get past the commands of before in a replay.
    """
    from schemas.declaration_digests import digest_of_all  # noqa: PLC0415

    applied, digest = _read(installation), digest_of_all()
    if applied["digest"] != digest:
        last = applied["number"] or _highest_submitted(environment, installation)
        numbered = {"number": last + 1, "digest": digest, "is_submitted": False}
        write_json(installation.declarations, numbered)


def _highest_submitted(environment: Environment, installation: Installation) -> int:
    from infra.coding import codec  # noqa: PLC0415
    from infra.triage.records import read_rows  # noqa: PLC0415
    from schemas.submission_schemas import OPERATOR_COMMAND  # noqa: PLC0415
    from schemas.systems import OPERATOR  # noqa: PLC0415
    from schemas.topics import input_topic  # noqa: PLC0415

    commands = read_rows(
        environment, codec(environment, installation), OPERATOR_COMMAND, [input_topic(OPERATOR)]
    )
    return max((command["adoption"] or 0 for command in commands), default=0)


def submit_adoption(environment: Environment, installation: Installation) -> int | None:
    """Submit the command to adopt the declarations, unless it was. Return their number; None if there is none."""
    from infra.coding import codec  # noqa: PLC0415
    from infra.triage.operator_commands import submit_command  # noqa: PLC0415
    from schemas.systems import OPERATOR  # noqa: PLC0415
    from schemas.topics import input_topic  # noqa: PLC0415

    applied = _read(installation)
    if applied["is_submitted"]:
        return None
    origin = {"topic": input_topic(OPERATOR), "partition": 0, "offset": 0}
    command = {"command": "ADOPT", "origin": origin, "adoption": applied["number"]}
    submit_command(environment, codec(environment, installation), command)
    write_json(installation.declarations, applied | {"is_submitted": True})
    return int(applied["number"])


def _read(installation: Installation) -> dict[str, Any]:
    try:
        applied: dict[str, Any] = orjson.loads(installation.declarations.read_bytes())
    except FileNotFoundError:
        return {"number": 0, "digest": "", "is_submitted": False}
    return applied
