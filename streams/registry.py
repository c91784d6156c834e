"""Schema ids that stay available while the schema registry is not.

Only schemas of foreign writers are requested from the registry; all others are known. A requested schema is cached in a
file, so that a restarted worker doesn't request it again.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from filelock import FileLock

from schemas.catalogue import Catalogue, Schema
from streams.clients import Clock
from streams.errors import UnavailableError

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema as RegistrySchema

#: How long an id that the registry doesn't have counts as unknown without another request, and the number of such ids.
UNKNOWN_TTL_S: Final = 10.0
UNKNOWN_MAX: Final = 1_024
#: Number of foreign schemas in the cache file. More are a mistake or an attack: a restarted worker requests them again.
CACHED_MAX: Final = 1_024
LOCK_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 5
_NOT_FOUND: Final = 404


class Registry(Protocol):
    """A schema registry, as `confluent_kafka.schema_registry.SchemaRegistryClient` offers it."""

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """Return the schema with this id; raise SchemaRegistryError (404) if there is none."""


class RegistrySchemaIds:
    """The ids of one registry (`schemas.ids.SchemaIds`).

    `ids` are the registered ids of the catalogue's schemas by name and version. `file` is the cache of foreign writers'
    schemas.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        ids: Mapping[tuple[str, int], int],
        registry: Registry,
        file: Path,
        clock: Clock = time.monotonic,
    ) -> None:
        self._catalogue, self._ids, self._registry = catalogue, dict(ids), registry
        self._versions_by_id = {schema_id: name_and_version for name_and_version, schema_id in ids.items()}
        self._cache, self._clock = _SchemaCache(file), clock
        self._foreign = {schema_id: Schema(text) for schema_id, text in self._cache.read().items()}
        #: When the registry reported an id as unknown, oldest first.
        self._unknown: OrderedDict[int, float] = OrderedDict()

    def id_of(self, name: str, version: int) -> int:
        """Return the id of a version of the catalogue; raise KeyError if it isn't registered."""
        return self._ids[name, version]

    def writer(self, schema_id: int) -> Schema | None:
        """Return the schema with this id, or None if the registry doesn't have it; a later call may request it again.

        Raise UnavailableError if a foreign schema must be requested and the registry doesn't answer in time.
        """
        if schema_id in self._versions_by_id:
            return self._catalogue.schema(*self._versions_by_id[schema_id])
        if schema_id not in self._foreign and not self._is_unknown(schema_id):
            self._request(schema_id)
        return self._foreign.get(schema_id)

    def _is_unknown(self, schema_id: int) -> bool:
        return self._clock() - self._unknown.get(schema_id, -UNKNOWN_TTL_S) < UNKNOWN_TTL_S

    def _request(self, schema_id: int) -> None:
        try:
            text = self._registry.get_schema(schema_id).schema_str or ""
        except Exception as error:  # the client passes on any error of its HTTP library
            if getattr(error, "http_status_code", None) == _NOT_FOUND:
                self._remember_unknown(schema_id)
                return
            raise UnavailableError(f"schema registry: {type(error).__name__}") from None
        self._foreign[schema_id] = Schema(text)
        self._cache.add(schema_id, text)

    def _remember_unknown(self, schema_id: int) -> None:
        self._unknown[schema_id] = self._clock()
        self._unknown.move_to_end(schema_id)
        if len(self._unknown) > UNKNOWN_MAX:
            self._unknown.popitem(last=False)


class RegistryClient:
    """A client of the registry with a deadline for every request; it is imported and created by the first request.

    A worker that knows all schemas makes no request, and starts in half the time without the import.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = {**properties, "timeout": REQUEST_TIMEOUT_S, "max.retries": 1}
        self._client: Registry | None = None

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """Return the registry's answer (`Registry.get_schema`)."""
        if self._client is None:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415

            self._client = SchemaRegistryClient(self._properties)
        return self._client.get_schema(schema_id)


class _SchemaCache:
    """Schemas by id in a file that several workers share; each write replaces the file atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S)

    def read(self) -> dict[int, str]:
        """Return the cached schemas; none if the file doesn't exist or is damaged, since it is only a cache."""
        try:
            return {int(number): text for number, text in orjson.loads(self._path.read_bytes()).items()}
        except (FileNotFoundError, ValueError, AttributeError):
            return {}

    def add(self, schema_id: int, text: str) -> None:
        """Add a schema to those of all workers, unless the file is full."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            schemas = {str(number): cached for number, cached in self.read().items()} | {str(schema_id): text}
            if len(schemas) <= CACHED_MAX:
                draft = self._path.with_suffix(f".{os.getpid()}.draft")
                draft.write_bytes(orjson.dumps(schemas))
                draft.replace(self._path)
