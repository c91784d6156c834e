"""Which strands each record belongs to: by its key, or as the processor says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from streams.contract import Strands
from streams.decoding import Part
from streams.parking import Held
from streams.state import PartitionState
from streams.step import Step

#: A key that is longer is no code of anybody.
KEY_BYTES_MAX: Final = 512


class Stranding(Protocol):
    """Says what records wait for. `fixed`: by the record alone, whatever the state."""

    fixed: bool

    def of(self, part: Part, index: int) -> Strands:
        """The strands of one row, given the state as it is now."""

    def waiting(self, part: Part, held: Held) -> list[int]:
        """The rows that wait, given the state as it is now: for a strand that is held, or for a row before them that
        does; ascending.
        """

    def followers(self, part: Part, bad: Collection[int]) -> set[int]:
        """The rows that come after bad ones, and wait for them or for each other; bad or not."""


class ByKey:
    """A record's strand is its key within its topic; a record without key is nobody's."""

    fixed = True

    def of(self, part: Part, index: int) -> Strands:
        """Its key."""
        strand = strand_column(part.slice(index, index + 1))[0].as_py()
        return Strands() if strand is None else Strands((strand,), (strand,))

    def waiting(self, part: Part, held: Held) -> list[int]:
        """Found as a column."""
        mask = pc.is_in(strand_column(part), value_set=pa.array(held.strands, pa.string()))
        found: list[int] = pc.indices_nonzero(mask).to_pylist()
        return found

    def followers(self, part: Part, bad: Collection[int]) -> set[int]:
        """Those of the same key."""
        found, poisoned = set[int](), set[str]()
        for row, strand in enumerate(strand_column(part).to_pylist()):
            if strand in poisoned:
                found.add(row)
            elif strand is not None and row in bad:
                poisoned.add(strand)
        return found


class ByProcessor:
    """As the processor says: what it knows of the records and, where it keeps any, of its state."""

    def __init__(self, say: Callable[..., Sequence[Strands]], state: PartitionState | None) -> None:
        self._say, self._state = say, state
        self.fixed = state is None

    def of(self, part: Part, index: int) -> Strands:
        """Asked for one row."""
        return self._said(part.slice(index, index + 1))[0]

    def waiting(self, part: Part, held: Held) -> list[int]:
        """Asked for all rows."""
        found, holding = list[int](), set[str]()
        for row, strands in enumerate(self._said(part)):
            if held.behind(strands.waits) or not holding.isdisjoint(strands.waits):
                found.append(row)
                holding.update(strands.holds)
        return found

    def followers(self, part: Part, bad: Collection[int]) -> set[int]:
        """Asked for all rows."""
        found, holding = set[int](), set[str]()
        for row, strands in enumerate(self._said(part)):
            follows = not holding.isdisjoint(strands.waits)
            if follows:
                found.add(row)
            if follows or row in bad:
                holding.update(strands.holds)
        return found

    def _said(self, part: Part) -> list[Strands]:
        # Topics have no order among each other.
        topics = part.batch.meta.column("topic").to_pylist()
        said = self._say(part.batch, self._state)
        if self._state is not None:
            self._state.discard()
        return [
            Strands(_within(topic, each.waits), _within(topic, each.holds))
            for topic, each in zip(topics, said, strict=True)
        ]


def stranding(step: Step, state: PartitionState | None) -> Stranding:
    """The processor's own way where it has one."""
    say = getattr(step.processor, "strands", None)
    return ByProcessor(say, state) if say else ByKey()


def strand_column(part: Part) -> pa.ChunkedArray:
    """Topic and key of each row; null where there is no key, or one that is longer than any code."""
    meta = part.batch.meta
    key = meta.column("key")
    key = pc.if_else(pc.less_equal(pc.binary_length(key), KEY_BYTES_MAX), key, None)
    return pc.binary_join_element_wise(meta.column("topic"), key, "/")


def _within(topic: str, strands: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{topic}/{strand}" for strand in strands)
