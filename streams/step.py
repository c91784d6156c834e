"""A step: its name, its input topics and its processor; and what every part of the work on it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from schemas.codec import Codec
from streams.contract import StatefulProcessor, StatelessProcessor
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
    processor: StatelessProcessor | StatefulProcessor

    def __post_init__(self) -> None:
        if self.stores and (len(self.inputs) != 1 or self.inputs[0].startswith("^")):
            raise ValueError(f"{self.name} keeps state: it must read exactly one topic")

    @property
    def stores(self) -> Mapping[str, str]:
        """Schema of each state store by its name; empty for a stateless processor."""
        stores: Mapping[str, str] = getattr(self.processor, "stores", {})
        return stores


@dataclass(frozen=True)
class StepContext:
    """A step with the codec, settings and keys that processing any of its batches needs."""

    step: Step
    codec: Codec
    settings: PipelineSettings
    sealer: Sealer
