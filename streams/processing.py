"""What a step makes of a batch of records: decoded, processed, encoded. No clock, no client, nothing sent.

The pipeline publishes what comes out. A processor that raises is tried again on halves of the batch until the records
it can't take are found; these are dead letters, and the changes of state that a failed attempt made are discarded.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from schemas.codec import Codec
from schemas.topics import state_topic
from streams import dead_letters
from streams.clients import Message, Outgoing, Partition
from streams.contract import Batch, Output, Result
from streams.dead_letters import DeadLetter
from streams.decoding import Part, by_schema, decode
from streams.errors import BrokenStepError, StreamError
from streams.settings import PipelineSettings
from streams.state import PartitionState
from streams.step import Step

log = structlog.get_logger()


@dataclass
class Outcome:
    """All that follows from some records but state: outputs, encoded, and what could not be processed."""

    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    def extend(self, other: Outcome) -> None:
        """What follows from later records comes after."""
        self.outgoing.extend(other.outgoing)
        self.dead.extend(other.dead)


class Processing:
    """One step's processor with the codec around it."""

    def __init__(self, step: Step, codec: Codec, settings: PipelineSettings) -> None:
        self._step, self._codec, self._settings = step, codec, settings

    def new_state(self) -> PartitionState:
        """Empty stores for one partition."""
        return PartitionState(self._codec, self._step.stores, self._settings.record_bytes_max)

    def run(
        self, groups: Mapping[Partition, Sequence[Message]], states: Mapping[int, PartitionState]
    ) -> list[Outgoing]:
        """All that one transaction publishes, in order: outputs, changes of state, dead letters.

        The changes stay pending in `states` until told of commit or rollback. Raises BrokenStepError where the
        processor fails on more records than `failures_max`, and what the codec raises for want of a registry.
        """
        outcome = self._stateful(groups, states) if self._step.stores else self._stateless(groups)
        letters = dead_letters.outgoing(
            self._step.name, outcome.dead, self._codec, self._settings.record_bytes_max
        )
        return [*outcome.outgoing, *self._changes(groups, states), *letters]

    def _stateless(self, groups: Mapping[Partition, Sequence[Message]]) -> Outcome:
        schemas = {topic: self._step.schema_of(topic) for topic, _ in groups}
        parts, outcome = [], Outcome()
        for schema, records in by_schema(groups, schemas).items():
            part, dead = decode(self._codec, schema, records)
            outcome.dead.extend(dead)
            parts.append(part)
        attempts = _Attempts(self._step, self._codec, self._settings, None)
        outcome.extend(attempts.attempt([part for part in parts if len(part)]))
        return outcome

    def _stateful(
        self, groups: Mapping[Partition, Sequence[Message]], states: Mapping[int, PartitionState]
    ) -> Outcome:
        outcome = Outcome()
        for (topic, partition), records in groups.items():
            part, dead = decode(self._codec, self._step.schema_of(topic), records)
            outcome.dead.extend(dead)
            attempts = _Attempts(self._step, self._codec, self._settings, states[partition])
            outcome.extend(attempts.attempt([part] if len(part) else []))
        return outcome

    def _changes(
        self, groups: Mapping[Partition, Sequence[Message]], states: Mapping[int, PartitionState]
    ) -> list[Outgoing]:
        """Changelog records: to the partition number of the input, not by a hash of the key."""
        changed = {number: states[number] for _, number in groups if number in states}
        return [
            Outgoing(
                state_topic(self._step.name, name),
                [key.encode() for key in store.pending],
                list(store.pending.values()),
                partition=number,
            )
            for number, state in changed.items()
            for name, store in state.stores.items()
            if store.pending
        ]


class _Attempts:
    """Tries a batch, and its halves where the processor raises."""

    def __init__(
        self, step: Step, codec: Codec, settings: PipelineSettings, state: PartitionState | None
    ) -> None:
        self._step, self._codec, self._settings, self._state = step, codec, settings, state
        self._failures = 0

    def attempt(self, parts: Sequence[Part]) -> Outcome:
        """What follows from these parts; a record that makes the processor raise is a dead letter."""
        if not parts:
            return Outcome()
        try:
            return self._whole(parts)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # whatever a processor raises, the other records go on
            return self._failed(parts, error)

    def _whole(self, parts: Sequence[Part]) -> Outcome:
        result = self._call([part.batch for part in parts])
        outgoing = [self._encode(output) for output in result.outputs if output.table.num_rows]
        dead = [DeadLetter(parts[each.batch].records[each.index], each.reason) for each in result.poison]
        if self._state:
            self._state.keep()
        return Outcome(outgoing, dead)

    def _call(self, batches: Sequence[Batch]) -> Result:
        process: Callable[..., Result] = self._step.processor.process
        return process(batches) if self._state is None else process(batches[0], self._state)

    def _failed(self, parts: Sequence[Part], error: Exception) -> Outcome:
        if self._state:
            self._state.discard()
        total = sum(map(len, parts))
        if total == 1:
            return self._dead(parts[0].records[0], error)
        first, second = _halves(parts, total // 2)
        outcome = self.attempt(first)
        outcome.extend(self.attempt(second))
        return outcome

    def _dead(self, record: Message, error: Exception) -> Outcome:
        self._failures += 1
        reason = f"unexpected:{type(error).__name__}"
        # The error's text may hold what it was raised about: its type and place must do.
        log.error("record.failed", step=self._step.name, reason=reason, at=place(error))
        if self._failures > self._settings.failures_max:
            raise BrokenStepError(f"{self._step.name} raised on {self._failures} records of one batch")
        return Outcome(dead=[DeadLetter(record, reason)])

    def _encode(self, output: Output) -> Outgoing:
        values: list[bytes] = self._codec.encode(output.schema, output.table).to_pylist()
        if max(map(len, values)) > self._settings.record_bytes_max:
            raise ValueError(f"a record for {output.topic} is larger than record_bytes_max")
        keys: list[Any] = output.key.cast(pa.binary()).to_pylist()
        stamps = None if output.timestamps_ms is None else output.timestamps_ms.to_pylist()
        if len(keys) != len(values) or (stamps is not None and len(stamps) != len(values)):
            raise ValueError(f"keys or timestamps for {output.topic} are not one a row")
        return Outgoing(output.topic, keys, values, stamps)


def place(error: BaseException) -> str:
    """File and line where an error was raised; no data."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _halves(parts: Sequence[Part], size: int) -> tuple[list[Part], list[Part]]:
    """The first `size` rows, and the others."""
    first, second = list[Part](), list[Part]()
    for part in parts:
        cut = min(size, len(part))
        size -= cut
        if cut:
            first.append(part.slice(0, cut))
        if cut < len(part):
            second.append(part.slice(cut, len(part)))
    return first, second
