"""The schemas of submissions, and where an operator command holds a submission that is submitted again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.catalogue import catalogue
from schemas.systems import DIGEST_PURPOSES, OPERATOR, SYSTEMS

#: Name in the catalogue of the schema of operator commands.
OPERATOR_COMMAND: Final = SYSTEMS[OPERATOR].publishes or ""


def _resubmission_fields() -> Mapping[str, str]:
    """Match the record fields of the operator command with the schemas of submissions, by the record's name."""
    schemas = {
        catalogue().schema(name).type.name: name for name in DIGEST_PURPOSES if name != OPERATOR_COMMAND
    }
    fields = catalogue().schema(OPERATOR_COMMAND).type.fields
    return MappingProxyType(
        {schemas[field.type.name]: field.name for field in fields if field.type.name in schemas}
    )


#: Schema of submissions -> field of the operator command that holds a submission of it, in the order of the fields.
RESUBMISSION_FIELDS: Final = _resubmission_fields()
