"""What a worker encodes records with: the codec with the installation's schema IDs, and the sealer of dead letters."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.key_file import sealer
from schemas.catalogue import catalogue
from schemas.codec import Codec
from streams.registry import RegistryClient, RegistrySchemaIds
from streams.sealing import Coding


def coding(environment: Environment, installation: Installation) -> Coding:
    """Return codec and sealer of an installation. Raise OperatorError or KeyFileError as these two do."""
    return Coding(codec(environment, installation), sealer(installation.key_file))


def codec(environment: Environment, installation: Installation) -> Codec:
    """Return the codec for values of every topic.

    It uses the schema IDs that `mesh apply` wrote to a file, so a worker starts without the registry. Raise
    OperatorError where that file is missing.
    """
    try:
        ids_by_schema: dict[str, dict[str, int]] = orjson.loads(installation.schema_ids.read_bytes())
    except FileNotFoundError:
        raise OperatorError(
            f"{installation.schema_ids.name} is missing in {installation.folder}: run `mesh apply`"
        ) from None
    ids = {
        (schema, int(version)): schema_id
        for schema, ids_by_version in ids_by_schema.items()
        for version, schema_id in ids_by_version.items()
    }
    return codec_with(environment, installation, ids)


def codec_with(
    environment: Environment, installation: Installation, ids: Mapping[tuple[str, int], int]
) -> Codec:
    """Return the codec that uses these schema IDs, by name and version."""
    client = RegistryClient(environment.registry("reader"))
    return Codec(catalogue(), RegistrySchemaIds(catalogue(), ids, client, installation.foreign_schemas))
