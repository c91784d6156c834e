"""A step: what it is called, what it reads, and the processor that it is handed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.contract import StatefulProcessor, StatelessProcessor


@dataclass(frozen=True)
class Step:
    """`inputs` are topics, or regular expressions that begin with `^`; `schema_of` names the schema of an input topic.

    A stateful processor has one input topic, and its changelogs have that topic's number of partitions.
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
        """Schema of each store by its name; none for a stateless processor."""
        stores: Mapping[str, str] = getattr(self.processor, "stores", {})
        return stores
