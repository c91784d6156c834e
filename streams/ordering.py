"""Which strands each record belongs to: by its key, or as the processor says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from streams.contract import OrderingKeys
from streams.dead_letter_queue import BlockedKeys
from streams.decoding import DecodedBatch
from streams.state import PartitionState
from streams.step import Step

#: A key that is longer is no code of anybody.
KEY_BYTES_MAX: Final = 512


class OrderingPolicy(Protocol):
    """Says what records wait for. `fixed`: by the record alone, whatever the state."""

    stateless: bool

    def of(self, part: DecodedBatch, index: int) -> OrderingKeys:
        """The strands of one row, given the state as it is now."""

    def blocked_rows(self, part: DecodedBatch, held: BlockedKeys) -> list[int]:
        """The rows that wait, given the state as it is now: for a strand that is held, or for a row before them that
        does; ascending.
        """

    def followers(self, part: DecodedBatch, bad: Collection[int]) -> set[int]:
        """The rows that come after bad ones, and wait for them or for each other; bad or not."""


class OrderByKey:
    """A record's strand is its key within its topic; a record without key is nobody's."""

    stateless = True

    def of(self, part: DecodedBatch, index: int) -> OrderingKeys:
        """Its key."""
        strand = ordering_key_column(part.slice(index, index + 1))[0].as_py()
        return OrderingKeys() if strand is None else OrderingKeys((strand,), (strand,))

    def blocked_rows(self, part: DecodedBatch, held: BlockedKeys) -> list[int]:
        """Found as a column."""
        mask = pc.is_in(ordering_key_column(part), value_set=pa.array(held.keys, pa.string()))
        found: list[int] = pc.indices_nonzero(mask).to_pylist()
        return found

    def followers(self, part: DecodedBatch, bad: Collection[int]) -> set[int]:
        """Those of the same key."""
        found, poisoned = set[int](), set[str]()
        for row, strand in enumerate(ordering_key_column(part).to_pylist()):
            if strand in poisoned:
                found.add(row)
            elif strand is not None and row in bad:
                poisoned.add(strand)
        return found


class OrderByProcessor:
    """As the processor says: what it knows of the records and, where it keeps any, of its state."""

    def __init__(self, say: Callable[..., Sequence[OrderingKeys]], state: PartitionState | None) -> None:
        self._declare, self._state = say, state
        self.stateless = state is None

    def of(self, part: DecodedBatch, index: int) -> OrderingKeys:
        """Asked for one row."""
        return self._declared_keys(part.slice(index, index + 1))[0]

    def blocked_rows(self, part: DecodedBatch, held: BlockedKeys) -> list[int]:
        """Asked for all rows."""
        found, holding = list[int](), set[str]()
        for row, strands in enumerate(self._declared_keys(part)):
            if held.blocked_by(strands.waits_for) or not holding.isdisjoint(strands.waits_for):
                found.append(row)
                holding.update(strands.blocks)
        return found

    def followers(self, part: DecodedBatch, bad: Collection[int]) -> set[int]:
        """Asked for all rows."""
        found, holding = set[int](), set[str]()
        for row, strands in enumerate(self._declared_keys(part)):
            follows = not holding.isdisjoint(strands.waits_for)
            if follows:
                found.add(row)
            if follows or row in bad:
                holding.update(strands.blocks)
        return found

    def _declared_keys(self, part: DecodedBatch) -> list[OrderingKeys]:
        # Topics have no order among each other.
        topics = part.batch.meta.column("topic").to_pylist()
        said = self._declare(part.batch, self._state)
        if self._state is not None:
            self._state.discard()
        return [
            OrderingKeys(
                _prefixed_with_topic(topic, each.waits_for), _prefixed_with_topic(topic, each.blocks)
            )
            for topic, each in zip(topics, said, strict=True)
        ]


def ordering_policy(step: Step, state: PartitionState | None) -> OrderingPolicy:
    """The processor's own way where it has one."""
    say = getattr(step.processor, "ordering_keys", None)
    return OrderByProcessor(say, state) if say else OrderByKey()


def ordering_key_column(part: DecodedBatch) -> pa.ChunkedArray:
    """Topic and key of each row; null where there is no key, or one that is longer than any code."""
    meta = part.batch.meta
    key = meta.column("key")
    key = pc.if_else(pc.less_equal(pc.binary_length(key), KEY_BYTES_MAX), key, None)
    return pc.binary_join_element_wise(meta.column("topic"), key, "/")


def _prefixed_with_topic(topic: str, strands: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{topic}/{strand}" for strand in strands)
