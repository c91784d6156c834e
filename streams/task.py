"""All that a step keeps of one input partition: its processor's stores, and what is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from schemas.topics import dlq_state_topic, state_topic
from streams.dead_letter_queue import STORE, DeadLetterQueue
from streams.state import Changes, PartitionState, digest_of


class Restorable(Protocol):
    """What a changelog brings back."""

    def restore(self, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Takes in records of the changelog, in their order."""


@dataclass(frozen=True)
class TaskState:
    """One input partition's, empty until it is restored."""

    state: PartitionState
    dead_letters: DeadLetterQueue

    @property
    def entries(self) -> int:
        """How many there are, committed, in all stores."""
        return self.state.entries + self.dead_letters.size

    @property
    def size_bytes(self) -> int:
        """What their values take, as the changelogs have them."""
        values = (value for store in self.state.stores.values() for value in store.committed.values())
        return sum(map(len, values)) + self.dead_letters.size_bytes

    @property
    def digest(self) -> str:
        """The same for the same committed entries of all stores, what is set aside included."""
        if not self.dead_letters.size:
            return self.state.digest
        marks = {name: store.checksum for name, store in self.state.stores.items()}
        return digest_of({**marks, STORE: self.dead_letters.checksum})

    def changelogs(self, step: str) -> dict[str, Restorable]:
        """By topic, what is restored from it."""
        stores: dict[str, Restorable] = {
            state_topic(step, name): store for name, store in self.state.stores.items()
        }
        return {**stores, dlq_state_topic(step): self.dead_letters}

    def changes(self, step: str) -> Iterator[tuple[str, Changes]]:
        """By topic, what the open transaction changes."""
        for name, store in self.state.stores.items():
            yield state_topic(step, name), store.pending
        yield dlq_state_topic(step), self.dead_letters.pending

    def commit(self) -> None:
        """The transaction is committed."""
        self.state.commit()
        self.dead_letters.commit()

    def rollback(self) -> None:
        """The transaction is aborted."""
        self.state.rollback()
        self.dead_letters.rollback()
