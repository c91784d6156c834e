"""The work on one input partition: its position, its state stores and its dead-letter queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from schemas.codec import Codec
from schemas.topics import dlq_state_topic, state_topic
from streams.clients import Partition
from streams.dead_letter_queue import STORE, DeadLetterQueue
from streams.state import Changes, PartitionState, digest_of
from streams.step import Step


class Restorable(Protocol):
    """A store that a changelog restores."""

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Apply records of the changelog (key and encoded value), in their order."""


@dataclass
class StreamTask:
    """The work of one step on one input partition, as Kafka Streams' StreamTask.

    `position` is the offset of the next record to process. State and dead-letter queue are empty until their
    changelogs have been restored. Changes of both stay pending until `commit` or `rollback`.
    """

    partition: Partition
    position: int
    state: PartitionState
    dead_letters: DeadLetterQueue

    @classmethod
    def create(
        cls, step: Step, partition: Partition, codec: Codec, value_bytes_max: int, position: int = 0
    ) -> StreamTask:
        """Return a task with empty stores; a value of a store may have up to `value_bytes_max` bytes."""
        state = PartitionState(codec, step.stores, value_bytes_max)
        return cls(partition, position, state, DeadLetterQueue(codec, partition[0], value_bytes_max))

    @property
    def entries(self) -> int:
        """Number of committed entries in all stores, the dead-letter queue included."""
        return self.state.entries + self.dead_letters.size

    @property
    def size_bytes(self) -> int:
        """Bytes of all committed values, encoded as in the changelogs."""
        values = (value for store in self.state.stores.values() for value in store.committed.values())
        return sum(map(len, values)) + self.dead_letters.size_bytes

    @property
    def digest(self) -> str:
        """Digest of all committed entries; the dead-letter queue is included only if it isn't empty."""
        if not self.dead_letters.size:
            return self.state.digest
        checksums = {name: store.checksum for name, store in self.state.stores.items()}
        return digest_of({**checksums, STORE: self.dead_letters.checksum})

    def changelogs(self, step: str) -> dict[str, Restorable]:
        """Return the stores by the topic of their changelog."""
        stores: dict[str, Restorable] = {
            state_topic(step, name): store for name, store in self.state.stores.items()
        }
        return {**stores, dlq_state_topic(step): self.dead_letters}

    def changes(self, step: str) -> Iterator[tuple[str, Changes]]:
        """Yield the pending changes of each store with the topic of its changelog."""
        for name, store in self.state.stores.items():
            yield state_topic(step, name), store.pending
        yield dlq_state_topic(step), self.dead_letters.pending

    def commit(self) -> None:
        """Make the pending changes the committed state; call it after the transaction was committed."""
        self.state.commit()
        self.dead_letters.commit()

    def rollback(self) -> None:
        """Drop the pending changes; call it after the transaction was aborted."""
        self.state.rollback()
        self.dead_letters.rollback()
