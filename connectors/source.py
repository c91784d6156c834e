"""The contract of a source: it publishes submissions from outside the mesh to input topics, unchanged.

A source does not validate content. It carries each row unchanged, with file and line. Its lifecycle:

1. `open()`    checks the whole input before anything is published, and returns the routes that the source will use.
               Raises `SourceFileError` for an input that cannot be ingested; then nothing has been published.
2. `poll()`    returns the next submissions, in the order of the input, as Arrow tables; nothing at the end. At most
               a batch is in memory.
3. `commit()`  reports that the broker has acknowledged everything polled so far. A source that can remember its
               position stores it here, never in `poll`; a source of files has nothing to store.
4. `close()`   releases resources. It may be called at any time, also twice.

Records of one route keep the order of the input. A source uses no Kafka client: `connectors.publish` sends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.systems import SYSTEMS
from schemas.topics import input_topic, source_user


class Route(NamedTuple):
    """Where submissions enter the mesh: an input topic, the Kafka user that writes it, and the schema."""

    system: str
    municipality: str | None = None

    @property
    def topic(self) -> str:
        """The input topic."""
        return input_topic(self.system, self.municipality)

    @property
    def user(self) -> str:
        """The only Kafka user that may write the input topic."""
        return source_user(self.system, self.municipality)

    @property
    def schema(self) -> str:
        """Catalogue name of the schema. Raises KeyError for a system that publishes nothing."""
        name = SYSTEMS[self.system].publishes
        if name is None:
            raise KeyError(f"{self.system} publishes nothing")
        return name


@dataclass(frozen=True)
class SubmissionBatch:
    """Submissions for one route, one per row of `table` (columns of the route's schema).

    `rows` counts the rows or lines of the input in them, `faults` those of these that are published unparsed (raw).
    """

    route: Route
    table: pa.Table
    rows: int
    faults: int


class Source(Protocol):
    """A source; the module's docstring has its lifecycle."""

    @property
    def bytes_total(self) -> int:
        """Size of the input in bytes, for progress; 0 if it is not known."""

    @property
    def bytes_done(self) -> int:
        """Bytes of the input read for the submissions polled so far."""

    def open(self) -> Collection[Route]:
        """Check the whole input and return the routes. Raise SourceFileError if it cannot be ingested."""

    def poll(self) -> Sequence[SubmissionBatch]:
        """Return the next submissions; nothing at the end and from then on."""

    def commit(self) -> None:
        """Note that everything polled so far was acknowledged."""

    def close(self) -> None:
        """Release files and connections."""
