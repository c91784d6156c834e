"""Ids of schemas where a registry may be away: only a foreign writer's schema is asked for; what is known runs on.

What was asked is kept in a file, so that a worker started again doesn't ask twice.
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

#: How long an id that the registry doesn't know is taken as unknown without asking again, and how many such.
UNKNOWN_KEPT_S: Final = 10.0
UNKNOWN_MAX: Final = 1_024
#: Foreign schemas kept on disk; more than that is a mistake or an attack, and is asked for anew.
KEPT_MAX: Final = 1_024
LOCK_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 5
_NOT_FOUND: Final = 404


class Registry(Protocol):
    """The question to a registry; `confluent_kafka.schema_registry.SchemaRegistryClient` answers it."""

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """A schema by its id; SchemaRegistryError (404) for an unknown one."""


class RegistrySchemaIds:
    """Ids of one registry (`schemas.ids.SchemaIds`).

    `ids` are those of the catalogue by name and version, as registered; `file` keeps foreign writers' schemas.
    UnavailableError where a foreign schema is to be asked for, and the registry doesn't answer in time.
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
        self._names = {number: named for named, number in ids.items()}
        self._kept, self._clock = _KeptSchemas(file), clock
        self._foreign = {number: Schema(text) for number, text in self._kept.read().items()}
        self._unknown: OrderedDict[int, float] = OrderedDict()

    def id_of(self, name: str, version: int) -> int:
        """The id of a version of the catalogue; KeyError for one that wasn't registered."""
        return self._ids[name, version]

    def writer(self, schema_id: int) -> Schema | None:
        """The schema of an id; None for one that the registry doesn't have, which is asked for again later."""
        if schema_id in self._names:
            return self._catalogue.schema(*self._names[schema_id])
        if schema_id not in self._foreign and not self._is_unknown(schema_id):
            self._ask(schema_id)
        return self._foreign.get(schema_id)

    def _is_unknown(self, schema_id: int) -> bool:
        return self._clock() - self._unknown.get(schema_id, -UNKNOWN_KEPT_S) < UNKNOWN_KEPT_S

    def _ask(self, schema_id: int) -> None:
        try:
            text = self._registry.get_schema(schema_id).schema_str or ""
        except Exception as error:  # the client lets its transport's errors through, whatever they are
            if getattr(error, "http_status_code", None) == _NOT_FOUND:
                self._note_unknown(schema_id)
                return
            raise UnavailableError(f"schema registry: {type(error).__name__}") from None
        self._foreign[schema_id] = Schema(text)
        self._kept.add(schema_id, text)

    def _note_unknown(self, schema_id: int) -> None:
        self._unknown[schema_id] = self._clock()
        self._unknown.move_to_end(schema_id)
        if len(self._unknown) > UNKNOWN_MAX:
            self._unknown.popitem(last=False)


class RegistryClient:
    """A client of the registry's whose every question has a deadline. Made, and imported, when it is first asked.

    A worker that knows its schemas starts in half the time for it, and never asks.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = {**properties, "timeout": REQUEST_TIMEOUT_S, "max.retries": 1}
        self._client: Registry | None = None

    def get_schema(self, schema_id: int) -> RegistrySchema:
        """As the registry answers."""
        if self._client is None:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415

            self._client = SchemaRegistryClient(self._properties)
        return self._client.get_schema(schema_id)


class _KeptSchemas:
    """Schemas by id, on disk; every write is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S)

    def read(self) -> dict[int, str]:
        """Empty where there is none, or none that can be read: it is only a cache."""
        try:
            return {int(number): text for number, text in orjson.loads(self._path.read_bytes()).items()}
        except (FileNotFoundError, ValueError, AttributeError):
            return {}

    def add(self, schema_id: int, text: str) -> None:
        """Adds to what other workers have kept."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            kept = {str(number): each for number, each in self.read().items()} | {str(schema_id): text}
            if len(kept) <= KEPT_MAX:
                draft = self._path.with_suffix(f".{os.getpid()}.draft")
                draft.write_bytes(orjson.dumps(kept))
                draft.replace(self._path)
