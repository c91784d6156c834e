"""Ids of schemas as `mesh apply` wrote them down: a worker starts and runs while the registry is down.

Only a schema that isn't of the catalogue, a foreign writer's, is asked of the registry, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import orjson
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.catalogue import Schema, catalogue
from schemas.codec import Codec

NOT_FOUND = 404


class SchemaIdFile:
    """The ids of a file, and behind them the registry for what the file hasn't."""

    def __init__(self, file: Path, registry: Mapping[str, object]) -> None:
        try:
            found: dict[str, dict[str, int]] = orjson.loads(file.read_bytes())
        except FileNotFoundError:
            raise OperatorError(f"no {file.name}: `mesh apply` makes it") from None
        self._ids = {(name, int(v)): number for name, of in found.items() for v, number in of.items()}
        self._names = {number: key for key, number in self._ids.items()}
        self._foreign: dict[int, Schema | None] = {}
        self._registry = registry

    def id_of(self, name: str, version: int) -> int:
        """The id of a version of the catalogue. KeyError: it was released after the last `mesh apply`."""
        return self._ids[name, version]

    def writer(self, schema_id: int) -> Schema | None:
        """The schema of an id, None where the registry has none; SchemaRegistryError where it can't be asked."""
        if schema_id in self._names:
            return catalogue().schema(*self._names[schema_id])
        if schema_id not in self._foreign:
            self._foreign[schema_id] = self._asked(schema_id)
        return self._foreign[schema_id]

    def _asked(self, schema_id: int) -> Schema | None:
        try:
            found = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:
                return None
            raise
        return Schema(found.schema_str or "")

    @cached_property
    def _client(self) -> SchemaRegistryClient:
        return SchemaRegistryClient(dict(self._registry))


def codec(environment: Environment, installation: Installation) -> Codec:
    """The codec of an installation. OperatorError where `mesh apply` was never run."""
    return Codec(catalogue(), SchemaIdFile(installation.schema_ids, environment.registry("worker")))
