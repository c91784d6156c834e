"""The schemas of submissions, and where an operator command holds a submission that is submitted again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from schemas.catalogue import catalogue
from schemas.systems import DIGEST_PURPOSES, OPERATOR, SYSTEMS, System
from schemas.systems.model import submission_schema

#: Name in the catalogue of the schema of operator commands.
OPERATOR_COMMAND: Final = SYSTEMS[OPERATOR].publishes or ""

#: Generated schema of submissions -> the only system that publishes it.
GENERATED_SCHEMAS: Final[Mapping[str, System]] = MappingProxyType(
    {submission_schema(system.id): system for system in SYSTEMS.values() if system.owns}
)

#: Field of the operator command that holds a submission of any generated schema: the schema's name, values as text.
DECLARED: Final = "declared"


def _resubmission_fields() -> Mapping[str, str]:
    """Match the record fields of the operator command with the schemas of submissions, by the record's name."""
    schemas = {
        catalogue().schema(name).type.name: name
        for name in DIGEST_PURPOSES
        if name != OPERATOR_COMMAND and name not in GENERATED_SCHEMAS
    }
    fields = catalogue().schema(OPERATOR_COMMAND).type.fields
    return MappingProxyType(
        {schemas[field.type.name]: field.name for field in fields if field.type.name in schemas}
    )


#: Other schema of submissions -> field of the operator command that holds one, in the order of the fields.
RESUBMISSION_FIELDS: Final = _resubmission_fields()

#: All fields of the operator command that hold a submission.
SUBMISSION_FIELDS: Final = (*RESUBMISSION_FIELDS.values(), DECLARED)


def fields_of_resubmission(schema: str, submission: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an operator command that hold a submission of a schema; of a list, each item by itself.

    Raise KeyError for a schema that can't be resubmitted: one of the high level would stand in clear in the command.
    """
    if schema not in GENERATED_SCHEMAS:
        return {RESUBMISSION_FIELDS[schema]: submission}
    if GENERATED_SCHEMAS[schema].is_high:
        raise KeyError(f"a submission of {schema} can't be resubmitted")
    values = [
        {"name": name, "value": str(value)}
        for name, given in submission.items()
        for value in (given if isinstance(given, list) else [given])
        if value is not None
    ]
    return {DECLARED: {"schema": schema, "values": values}}


def resubmission_in(command: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the schema and the fields of the submission that an operator command holds; None if it holds none.

    A submission of a generated schema has all its values as text (or lists of texts), and null for a field without one.
    """
    for schema, field in RESUBMISSION_FIELDS.items():
        if command[field] is not None:
            return schema, command[field]
    declared = command[DECLARED]
    system = None if declared is None else GENERATED_SCHEMAS.get(declared["schema"])
    if system is None or system.is_high:
        return None
    values: dict[str, list[str]] = {}
    for each in declared["values"]:
        values.setdefault(each["name"], []).append(each["value"])
    fields = catalogue().arrow_schema(declared["schema"])
    return declared["schema"], {
        field.name: values.get(field.name)
        if pa.types.is_list(field.type)
        else values.get(field.name, [None])[-1]
        for field in fields
    }
