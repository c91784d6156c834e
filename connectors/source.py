"""The contract of a source: something outside is carried into `in.` topics as it came.

A source judges no content; it keeps what it is given, whole, with file and line. Its life:

1. `open()`    looks the whole input through before anything leaves, and returns the routes that it will use. What
               can't be taken in at all raises a `SourceFileError` here, and nothing has been published.
2. `poll()`    the next hand-overs, in the order of the input, as Arrow tables; empty at the end. Never more in
               memory than a batch.
3. `commit()`  everything polled so far was acknowledged by the broker. A source that can remember its place does so
               here, never in `poll`; one that reads files has nothing to remember.
4. `close()`   lets go of what it holds; can be called at any time, also twice.

Records of one route keep the order of the input. A source knows no Kafka client: `connectors.publish` sends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.systems import SYSTEMS
from schemas.topics import input_topic, source_user


class Route(NamedTuple):
    """Where hand-overs go: one `in.` topic, by its own user, in the schema that the system publishes."""

    system: str
    municipality: str | None = None

    @property
    def topic(self) -> str:
        """The `in.` topic."""
        return input_topic(self.system, self.municipality)

    @property
    def user(self) -> str:
        """The Kafka user who alone may write it."""
        return source_user(self.system, self.municipality)

    @property
    def schema(self) -> str:
        """Name of the catalogue. KeyError for a system that publishes nothing."""
        name = SYSTEMS[self.system].publishes
        if name is None:
            raise KeyError(f"{self.system} publishes nothing")
        return name


@dataclass(frozen=True)
class SubmissionBatch:
    """Hand-overs for one route, a row each (columns of the route's schema).

    `rows` counts the rows or lines that they hold, `faults` those among them that are carried raw.
    """

    route: Route
    table: pa.Table
    rows: int
    faults: int


class Source(Protocol):
    """See the module for the life of a source."""

    @property
    def bytes_total(self) -> int:
        """Size of the input, for progress; 0 where it isn't known."""

    @property
    def bytes_done(self) -> int:
        """How much of it the hand-overs polled so far take."""

    def open(self) -> Collection[Route]:
        """Looks the input through. SourceFileError: it can't be taken in, and nothing was published."""

    def poll(self) -> Sequence[SubmissionBatch]:
        """The next hand-overs; empty at the end, and from then on."""

    def commit(self) -> None:
        """Everything polled so far was acknowledged."""

    def close(self) -> None:
        """Lets go of files and connections."""
