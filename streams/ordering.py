"""Ordering keys of records: the record's own key, or the keys that the processor declares."""

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

#: A longer record key can't be the code of a person or a municipality, and orders nothing.
KEY_BYTES_MAX: Final = 512


class OrderingPolicy(Protocol):
    """Answers which records of a batch must wait. `stateless`: the answer depends on the record alone, not on state."""

    stateless: bool

    def of(self, batch: DecodedBatch, index: int) -> OrderingKeys:
        """Return the ordering keys of one row, given the state as it is now."""

    def blocked_rows(self, batch: DecodedBatch, blocked: BlockedKeys) -> list[int]:
        """Return the rows, ascending, that wait for a blocked key or for an earlier row that does."""

    def followers(self, batch: DecodedBatch, failed: Collection[int]) -> set[int]:
        """Return the rows that wait for an earlier failed row, directly or through each other; failed or not."""


class OrderByKey:
    """Orders records by topic and record key; a record without key has no ordering key."""

    stateless = True

    def of(self, batch: DecodedBatch, index: int) -> OrderingKeys:
        """Return the row's topic and key as its only ordering key."""
        key = ordering_key_column(batch.slice(index, index + 1))[0].as_py()
        return OrderingKeys() if key is None else OrderingKeys((key,), (key,))

    def blocked_rows(self, batch: DecodedBatch, blocked: BlockedKeys) -> list[int]:
        """Return the rows whose key is blocked."""
        mask = pc.is_in(ordering_key_column(batch), value_set=pa.array(blocked.keys, pa.string()))
        rows: list[int] = pc.indices_nonzero(mask).to_pylist()
        return rows

    def followers(self, batch: DecodedBatch, failed: Collection[int]) -> set[int]:
        """Return the rows that come after a failed row with the same key."""
        followers, failed_keys = set[int](), set[str]()
        for row, key in enumerate(ordering_key_column(batch).to_pylist()):
            if key in failed_keys:
                followers.add(row)
            elif key is not None and row in failed:
                failed_keys.add(key)
        return followers


class OrderByProcessor:
    """Orders records by the keys that the processor declares, from the records and, in a stateful step, its state."""

    def __init__(self, declare: Callable[..., Sequence[OrderingKeys]], state: PartitionState | None) -> None:
        self._declare, self._state = declare, state
        self.stateless = state is None

    def of(self, batch: DecodedBatch, index: int) -> OrderingKeys:
        """Return what the processor declares for the row."""
        return self._declared_keys(batch.slice(index, index + 1))[0]

    def blocked_rows(self, batch: DecodedBatch, blocked: BlockedKeys) -> list[int]:
        """Return the rows that wait for a blocked key, or for a key of such a row."""
        rows, newly_blocked = list[int](), set[str]()
        for row, keys in enumerate(self._declared_keys(batch)):
            if blocked.blocked_by(keys.waits_for) or not newly_blocked.isdisjoint(keys.waits_for):
                rows.append(row)
                newly_blocked.update(keys.blocks)
        return rows

    def followers(self, batch: DecodedBatch, failed: Collection[int]) -> set[int]:
        """Return the rows that wait for a key of a failed row or of another follower before them."""
        followers, failed_keys = set[int](), set[str]()
        for row, keys in enumerate(self._declared_keys(batch)):
            follows = not failed_keys.isdisjoint(keys.waits_for)
            if follows:
                followers.add(row)
            if follows or row in failed:
                failed_keys.update(keys.blocks)
        return followers

    def _declared_keys(self, batch: DecodedBatch) -> list[OrderingKeys]:
        # Topics have no order among each other, so each key is prefixed with the record's topic.
        topics = batch.batch.meta.column("topic").to_pylist()
        declared = self._declare(batch.batch, self._state)
        if self._state is not None:
            self._state.discard()
        return [
            OrderingKeys(_with_topic(topic, keys.waits_for), _with_topic(topic, keys.blocks))
            for topic, keys in zip(topics, declared, strict=True)
        ]


def ordering_policy(step: Step, state: PartitionState | None) -> OrderingPolicy:
    """Return the policy of a step: the processor's, if it has a method `ordering_keys`, else by record key."""
    declare = getattr(step.processor, "ordering_keys", None)
    return OrderByProcessor(declare, state) if declare else OrderByKey()


def ordering_key_column(batch: DecodedBatch) -> pa.ChunkedArray:
    """Return topic and key of each row as `topic/key`; null for a row without key, or with one over KEY_BYTES_MAX."""
    meta = batch.batch.meta
    key = meta.column("key")
    key = pc.if_else(pc.less_equal(pc.binary_length(key), KEY_BYTES_MAX), key, None)
    return pc.binary_join_element_wise(meta.column("topic"), key, "/")


def _with_topic(topic: str, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{topic}/{key}" for key in keys)
