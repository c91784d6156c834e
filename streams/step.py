"""A step: its name, its input topics and its processor; and what every part of the work on it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from schemas.codec import Codec
from streams.contract import (
    Batch,
    StatefulProcessor,
    StatelessProcessor,
    TableReadingProcessor,
    Tables,
)
from streams.global_table import GlobalTables
from streams.sealing import Sealer
from streams.settings import PipelineSettings


@dataclass(frozen=True)
class Step:
    """A processor with its inputs.

    `inputs` are topics, or regular expressions that begin with `^`; `schema_of` returns the schema of an input topic.
    A stateful processor has exactly one input topic; its changelogs have as many partitions as that topic.
    """

    name: str
    inputs: Sequence[str]
    schema_of: Callable[[str], str]
    processor: StatelessProcessor | TableReadingProcessor | StatefulProcessor

    def __post_init__(self) -> None:
        if self.stores and self.tables:
            raise ValueError(f"{self.name} keeps state: it can't read tables")
        if self.stores and (len(self.inputs) != 1 or self.inputs[0].startswith("^")):
            raise ValueError(f"{self.name} keeps state: it must read exactly one topic")

    @property
    def stores(self) -> Mapping[str, str]:
        """Schema of each state store by its name; empty for a stateless processor."""
        stores: Mapping[str, str] = getattr(self.processor, "stores", {})
        return stores

    @property
    def tables(self) -> Mapping[str, str]:
        """Schema of each global table by its topic; empty for a processor that reads none."""
        tables: Mapping[str, str] = getattr(self.processor, "tables", {})
        return tables


@dataclass(frozen=True)
class StepContext:
    """A step with what processing any of its batches needs.

    `now_ms` returns the moment for a batch that is to be processed now, in ms since 1970; `partition_count` returns the
    number of partitions of a topic.
    """

    step: Step
    codec: Codec
    settings: PipelineSettings
    sealer: Sealer
    now_ms: Callable[[], int]
    partition_count: Callable[[str], int]
    tables: GlobalTables

    def tables_for(self, batches: Sequence[Batch]) -> Tables:
        """Return current tables if the processor needs any for these batches, which were polled before; else none."""
        if not self.step.tables or not cast("TableReadingProcessor", self.step.processor).needs_tables(
            batches
        ):
            return {}
        return self.current_tables()

    def current_tables(self) -> Tables:
        """Return the step's tables with everything written until now. Raise UnavailableError if they can't be read."""
        return self.tables.current() if self.step.tables else {}
