"""Processing of a batch around records that fail: the batch is bisected until only they are left out.

The outcome is as if every record had been processed one by one, in order. A part of the batch is processed as a whole
if none of its records is blocked and none fails; else it is cut, down to single records.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import structlog

from streams.clients import BY_KEY, ProducerRecords
from streams.contract import Batch, Output, Poison, Result, Tables
from streams.dead_letter_router import DeadLetterRouter, StepOutput
from streams.decoding import DecodedBatch
from streams.errors import BrokenStepError, LargeOutputsError, StreamError, TableBehindError
from streams.ordering import ordering_policy
from streams.partitioner import partition_for
from streams.state import PartitionState
from streams.step import StepContext

log = structlog.get_logger()

#: Errors that no single record causes.
PASSED_ON: Final = (StreamError, LargeOutputsError, MemoryError)
#: Reason of a dead letter that was tried again, but depends on a record that a global table doesn't have.
TABLE_BEHIND: Final = "table-behind"

#: Index of a batch among several, and of a row in it.
_RowIndex = tuple[int, int]
Batches = Sequence[DecodedBatch]


class BisectingRunner:
    """Runs a step's processor. `state` is None for a stateless step, `tables` are current for the batches.

    Outputs and dead letters go into `output`; state changes stay pending.
    """

    def __init__(
        self,
        context: StepContext,
        state: PartitionState | None,
        router: DeadLetterRouter,
        output: StepOutput,
        tables: Tables,
    ) -> None:
        self._context, self._state, self._router, self._output = context, state, router, output
        self._tables = tables
        self._ordering = ordering_policy(context.step, state)
        self._failures = 0

    def run(self, batches: Batches) -> None:
        """Process all records that are not blocked. Only the errors in `PASSED_ON` pass through."""
        batches = [batch for batch in batches if len(batch)]
        blocked = self._blocked_rows(batches)
        if not any(blocked):
            self._run_unblocked(batches)
        elif not self._ordering.stateless and _total(batches) > 1:
            # The keys of a record depend on the state that all records before it leave: process those first.
            self._run_halves(batches)
        else:
            self._run_unblocked(
                [_without(batch, set(rows)) for batch, rows in zip(batches, blocked, strict=True)]
            )
            # Last: a blocked record blocks its own keys, and earlier records must not wait for those.
            for batch, rows in zip(batches, blocked, strict=True):
                for row in rows:
                    self._router.block(batch.records[row], self._ordering.of(batch, row))

    def run_one(self, batch: DecodedBatch) -> str | None:
        """Process a batch of one record, blocked or not; return the reason if it failed."""
        try:
            poison = self._run_whole([batch], lambda batches, poison: False)
        except TableBehindError:
            # Not an error of the worker here: the value of a repair may be one that no table will ever confirm.
            return TABLE_BEHIND
        except PASSED_ON:
            raise
        except Exception as error:  # as in `run`
            return self._reason_of_error(error)
        return poison.get((0, 0))

    def _blocked_rows(self, batches: Batches) -> list[list[int]]:
        """Return the blocked rows of each batch."""
        if not self._router.blocked_keys:
            return [[] for _ in batches]
        return [self._ordering.blocked_rows(batch, self._router.blocked_keys) for batch in batches]

    def _run_unblocked(self, batches: Batches) -> None:
        batches = [batch for batch in batches if len(batch)]
        if not batches:
            return
        try:
            poison = self._run_whole(batches, self._rerun_if_followed)
        except PASSED_ON:
            raise
        except Exception as error:  # whatever a processor raises, the other records must be processed
            self._handle_error(batches, error)
            return
        for index, reason in poison.items():
            self._route_failed(batches, index, reason)

    def _run_whole(
        self, batches: Batches, rerun: Callable[[Batches, dict[_RowIndex, str]], bool]
    ) -> dict[_RowIndex, str]:
        """Process all batches in one call; return the reason of each poison row.

        `rerun(batches, poison)` decides whether the result must be dropped; it has then processed the records itself.
        """
        result = self._process([batch.batch for batch in batches])
        outgoing = self._encoded([output for output in result.outputs if output.table.num_rows])
        poison = {(each.batch, each.index): each.reason for each in _sorted_poison(result.poison)}
        if poison and rerun(batches, poison):
            return {}
        if _total(batches) == 1 and _size_bytes(outgoing) > self._context.settings.output_bytes_max:
            raise ValueError("the outputs of one record are larger than output_bytes_max")
        # Stage first: an attempt whose state can't be encoded must leave no outputs.
        if self._state:
            self._state.stage()
        self._output.add(outgoing)
        return poison

    def _rerun_if_followed(self, batches: Batches, poison: dict[_RowIndex, str]) -> bool:
        """Process the batches again without poison, if a later record may wait for it; return whether it was done."""
        followers = self._rows_after_poison(batches, poison) if self._ordering.stateless else set()
        if self._ordering.stateless and not followers:
            return False
        if self._state:
            self._state.discard()
        if self._ordering.stateless:
            self._run_without_followers(batches, poison, followers)
        else:
            self._run_between_poison(batches, poison)
        return True

    def _rows_after_poison(self, batches: Batches, poison: Mapping[_RowIndex, str]) -> set[_RowIndex]:
        """Return the rows that wait for a poison row before them, whether they are poison themselves or not."""
        failed = [{row for index, row in poison if index == number} for number in range(len(batches))]
        return {
            (number, row)
            for number, batch in enumerate(batches)
            if failed[number]
            for row in self._ordering.followers(batch, failed[number])
        }

    def _run_without_followers(
        self, batches: Batches, poison: Mapping[_RowIndex, str], followers: set[_RowIndex]
    ) -> None:
        excluded = followers.union(poison)
        rows = [{row for index, row in excluded if index == number} for number in range(len(batches))]
        self.run([_without(batch, out) for batch, out in zip(batches, rows, strict=True)])
        for index in sorted(excluded):
            # A follower has poison before it, so it is blocked, whatever its own reason would be.
            self._route_failed(batches, index, poison.get(index, ""))

    def _run_between_poison(self, batches: Batches, poison: Mapping[_RowIndex, str]) -> None:
        """Process the records up to each poison row, then route that row, so that later keys see its effect."""
        for number, batch in enumerate(batches):
            start = 0
            for row in [row for index, row in poison if index == number]:
                self.run([batch.slice(start, row)])
                self._route_failed(batches, (number, row), poison[number, row])
                start = row + 1
            self.run([batch.slice(start, len(batch))])

    def _route_failed(self, batches: Batches, index: _RowIndex, reason: str) -> None:
        batch, row = batches[index[0]], index[1]
        content = batch.batch.table.slice(row, 1).to_pylist()[0]
        self._router.route_failed(batch.records[row], content, self._ordering.of(batch, row), reason)

    def _handle_error(self, batches: Batches, error: Exception) -> None:
        if _total(batches) > 1:
            if self._state:
                self._state.discard()
            self._run_halves(batches)
        else:
            self._route_failed(batches, (0, 0), self._reason_of_error(error))

    def _run_halves(self, batches: Batches) -> None:
        first, second = _halves(batches, _total(batches) // 2)
        self.run(first)
        self.run(second)

    def _reason_of_error(self, error: Exception) -> str:
        """Log why a single record failed and return the reason; raise BrokenStepError after `failures_max` failures."""
        if self._state:
            self._state.discard()
        self._failures += 1
        name, reason = self._context.step.name, f"unexpected:{type(error).__name__}"
        # The error's text may quote the record: only its type and location are logged.
        log.error("record.failed", step=name, reason=reason, at=error_location(error))
        if self._failures > self._context.settings.failures_max:
            raise BrokenStepError(f"{name} raised on {self._failures} records of one batch")
        return reason

    def _process(self, batches: Sequence[Batch]) -> Result:
        process: Callable[..., Result] = self._context.step.processor.process
        if self._state is not None:
            return process(batches[0], self._state)
        return process(batches, self._tables) if self._context.step.tables else process(batches)

    def _encoded(self, outputs: Sequence[Output]) -> list[ProducerRecords]:
        """Encode outputs, those of one schema together: for few rows a call costs more than the rows do."""
        by_schema: dict[tuple[str, pa.Schema], list[int]] = {}
        for index, output in enumerate(outputs):
            by_schema.setdefault((output.schema, output.table.schema), []).append(index)
        encoded: dict[int, list[ProducerRecords]] = {}
        for (schema, _), indices in by_schema.items():
            joined = pa.concat_tables([outputs[index].table for index in indices])
            values = iter(self._context.codec.encode(schema, joined).to_pylist())
            for index in indices:
                of_output = list(islice(values, outputs[index].table.num_rows))
                encoded[index] = self._producer_records(outputs[index], of_output)
        return [records for index in range(len(outputs)) for records in encoded[index]]

    def _producer_records(self, output: Output, values: list[bytes]) -> list[ProducerRecords]:
        if max(map(len, values)) > self._context.settings.record_bytes_max:
            raise ValueError(f"a record for {output.topic} is larger than record_bytes_max")
        keys: list[Any] = output.key.cast(pa.binary()).to_pylist()
        timestamps = None if output.timestamps_ms is None else output.timestamps_ms.to_pylist()
        if len(keys) != len(values) or (timestamps is not None and len(timestamps) != len(values)):
            raise ValueError(f"output for {output.topic} must have one key (and timestamp) for each row")
        if output.partition_key is not None:
            return self._by_partition_key(output, keys, values, timestamps)
        if output.broadcast:
            partitions: Sequence[int] = range(self._context.partition_count(output.topic))
        else:
            partitions = [BY_KEY if output.partition is None else output.partition]
        return [ProducerRecords(output.topic, keys, values, timestamps, number) for number in partitions]

    def _by_partition_key(
        self, output: Output, keys: list[Any], values: list[bytes], timestamps: list[int] | None
    ) -> list[ProducerRecords]:
        """Return the records partition by partition, in the order of the output within each."""
        partition_keys: pa.Array = output.partition_key
        count = self._context.partition_count(output.topic)
        rows: dict[int, list[int]] = {}
        for row, key in enumerate(partition_keys.cast(pa.binary()).to_pylist()):
            rows.setdefault(partition_for(key, count), []).append(row)
        return [
            ProducerRecords(
                output.topic,
                [keys[row] for row in of_partition],
                [values[row] for row in of_partition],
                None if timestamps is None else [timestamps[row] for row in of_partition],
                number,
            )
            for number, of_partition in sorted(rows.items())
        ]


def error_location(error: BaseException) -> str:
    """Return file and line where an error was raised: no data of a record."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _sorted_poison(poison: Sequence[Poison]) -> list[Poison]:
    return sorted(poison, key=lambda each: (each.batch, each.index))


def _size_bytes(outgoing: Sequence[ProducerRecords]) -> int:
    return sum(records.size_bytes for records in outgoing)


def _total(batches: Batches) -> int:
    return sum(map(len, batches))


def _without(batch: DecodedBatch, rows: set[int]) -> DecodedBatch:
    return batch.take([row for row in range(len(batch)) if row not in rows]) if rows else batch


def _halves(batches: Batches, size: int) -> tuple[list[DecodedBatch], list[DecodedBatch]]:
    """Return the first `size` rows, and the other rows."""
    first, second = list[DecodedBatch](), list[DecodedBatch]()
    for batch in batches:
        cut = min(size, len(batch))
        size -= cut
        if cut:
            first.append(batch.slice(0, cut))
        if cut < len(batch):
            second.append(batch.slice(cut, len(batch)))
    return first, second
