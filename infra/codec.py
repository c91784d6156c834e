"""The codec of an installation: with the ids that `mesh apply` wrote down, a worker needs no registry to start."""

from __future__ import annotations

import orjson

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.catalogue import catalogue
from schemas.codec import Codec
from streams.registry import RegistryClient, RegistrySchemaIds


def codec(environment: Environment, installation: Installation) -> Codec:
    """Reads and writes values of every topic. OperatorError where `mesh apply` was never run."""
    try:
        found: dict[str, dict[str, int]] = orjson.loads(installation.schema_ids.read_bytes())
    except FileNotFoundError:
        raise OperatorError(f"no {installation.schema_ids.name}: `mesh apply` makes it") from None
    ids = {(name, int(version)): number for name, of in found.items() for version, number in of.items()}
    client = RegistryClient(environment.registry("reader"))
    return Codec(catalogue(), RegistrySchemaIds(catalogue(), ids, client, installation.foreign_schemas))
