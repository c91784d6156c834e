"""The number of the applied declarations, in `declarations.json` in MESH_HOME; a worker reads it when it starts.

It only grows. The file also has the digest of the declarations, and whether the command to adopt them was submitted
(`infra.apply.adoption_commands`).
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from pydantic import BaseModel

from infra.apply.accepted_events import AcceptedEvents
from infra.apply.installation import Installation
from infra.errors import NotAppliedError
from infra.local.home import write_json
from schemas.declaration_digests import digest_of_all
from schemas.systems import DOMAINS, SYSTEMS


class AppliedDeclarations(BaseModel, frozen=True, extra="forbid"):
    """What was applied last; the number is 0 before the first `mesh apply`.

    `readings` has the tables of all readings, each with whether the reading has ended, and `fields` the names of the
    fields of each entity and reading that was ever applied, see `declared_fields`. `events` is what the events of each
    entity may bring that was ever applied; empty if it was applied by an earlier release.
    """

    number: int = 0
    digest: str = ""
    is_submitted: bool = False
    readings: Mapping[str, bool] = {}
    fields: Mapping[str, tuple[str, ...]] = {}
    events: AcceptedEvents = {}


def declared_readings() -> dict[str, bool]:
    """Return the table of each reading, and whether the reading has ended."""
    return {
        f"{domain.schema_name}.{reads.name}": reads.ended
        for domain in DOMAINS.values()
        for reads in domain.readings
    }


def declared_fields() -> dict[str, tuple[str, ...]]:
    """Return the names of the fields of each entity that a system submits, and of each reading."""
    entities = {f"entity {e.id}": e.field_names for system in SYSTEMS.values() for e in system.owns}
    readings = {
        f"reading {domain.schema_name}.{reads.name}": tuple(field.name for field in reads.fields)
        for domain in DOMAINS.values()
        for reads in domain.reads
    }
    return entities | readings


def applied_declarations(installation: Installation) -> AppliedDeclarations:
    """Return what was applied last."""
    try:
        content = installation.declarations.read_bytes()
    except FileNotFoundError:
        return AppliedDeclarations()
    return AppliedDeclarations.model_validate(orjson.loads(content))


def applied_number(installation: Installation) -> int:
    """Return the number of the declarations that were applied last; 0 before the first `mesh apply`."""
    return applied_declarations(installation).number


def write_applied(installation: Installation, applied: AppliedDeclarations) -> None:
    """Write what was applied."""
    write_json(installation.declarations, applied.model_dump())


def are_applied(installation: Installation) -> bool:
    """Return whether the declarations that are installed are those that were applied last."""
    return applied_declarations(installation).digest == digest_of_all()


def require_applied(installation: Installation) -> None:
    """Raise NotAppliedError where other declarations are installed than were applied last."""
    if not are_applied(installation):
        raise NotAppliedError
