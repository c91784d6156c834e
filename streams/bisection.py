"""Tries a batch, and parts of it: what can't be processed becomes a letter, what waits behind one is parked.

Each record is judged as if all before it had been processed one by one. A part is processed as a whole where none of
its records waits and none fails; else it is cut, down to single records.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from streams.clients import ProducerRecords
from streams.contract import Batch, Output, Poison, Result
from streams.dead_letter_router import DeadLetterRouter, StepContext, StepOutput
from streams.decoding import DecodedBatch
from streams.errors import BrokenStepError, StreamError
from streams.ordering import ordering_policy
from streams.state import PartitionState

log = structlog.get_logger()

#: A row of one of several parts.
_RowIndex = tuple[int, int]


class BisectingRunner:
    """Some records; `state` is the one that the processor is given, None for a stateless step.

    `outcome` is what follows from all that was attempted; changes of state are pending.
    """

    def __init__(
        self, shop: StepContext, state: PartitionState | None, aside: DeadLetterRouter, outcome: StepOutput
    ) -> None:
        self._context, self._state, self._router, self._output = shop, state, aside, outcome
        self._ordering = ordering_policy(shop.step, state)
        self._failures = 0

    def run(self, parts: Sequence[DecodedBatch]) -> None:
        """Whatever the processor raises, the other records go on; a StreamError or MemoryError passes through."""
        parts = [part for part in parts if len(part)]
        waiting = self._blocked_rows(parts)
        if not any(waiting):
            self._run_unblocked(parts)
        elif not self._ordering.stateless and _total(parts) > 1:
            # What a record waits for, and who waits for it, depends on all before it: those come first.
            self._in_halves(parts)
        else:
            self._run_unblocked(
                [_without(part, set(rows)) for part, rows in zip(parts, waiting, strict=True)]
            )
            # Last, as it would hold what others before it are not to wait for.
            for part, rows in zip(parts, waiting, strict=True):
                for row in rows:
                    self._router.block(part.records[row], self._ordering.of(part, row))

    def run_one(self, part: DecodedBatch) -> str | None:
        """One record, whether it waits or not; None where it was processed, else why not."""
        try:
            poison = self._run_whole([part], lambda parts, found: False)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # as in `attempt`
            return self._reason_of_error(error)
        return poison.get((0, 0))

    def _blocked_rows(self, parts: Sequence[DecodedBatch]) -> list[list[int]]:
        """By part, the rows that wait for a strand that is held."""
        if not self._router.blocked_keys:
            return [[] for _ in parts]
        return [self._ordering.blocked_rows(part, self._router.blocked_keys) for part in parts]

    def _run_unblocked(self, parts: Sequence[DecodedBatch]) -> None:
        """Those of which none waits for what is set aside by now."""
        left = [part for part in parts if len(part)]
        if not left:
            return
        try:
            poison = self._run_whole(left, self._rerun_if_followed)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # whatever a processor raises, the other records go on
            self._handle_error(left, error)
            return
        for each, reason in poison.items():
            self._route_failed(left, each, reason)

    def _run_whole(
        self,
        parts: Sequence[DecodedBatch],
        spoils: Callable[[Sequence[DecodedBatch], dict[_RowIndex, str]], bool],
    ) -> dict[_RowIndex, str]:
        """Processes all of it; the poison in it. Where that spoils the rest, `spoils` has seen to it otherwise."""
        result = self._process([part.batch for part in parts])
        outgoing = self._encoded([output for output in result.outputs if output.table.num_rows])
        poison = {(each.batch, each.index): each.reason for each in _sorted_poison(result.poison)}
        if poison and spoils(parts, poison):
            return {}
        if self._state:
            self._state.stage()
        self._output.outgoing.extend(outgoing)
        return poison

    def _rerun_if_followed(self, parts: Sequence[DecodedBatch], poison: dict[_RowIndex, str]) -> bool:
        """Whether something later in these parts may wait for the poison: then all is done again without it."""
        followers = self._rows_after_poison(parts, poison) if self._ordering.stateless else set()
        if self._ordering.stateless and not followers:
            return False
        if self._state:
            self._state.discard()
        if self._ordering.stateless:
            self._without_followers(parts, poison, followers)
        else:
            self._run_between_poison(parts, poison)
        return True

    def _rows_after_poison(
        self, parts: Sequence[DecodedBatch], poison: Mapping[_RowIndex, str]
    ) -> set[_RowIndex]:
        """Rows that come after poison, and wait for it; poison or not."""
        bad = [{row for number, row in poison if number == at} for at in range(len(parts))]
        return {
            (at, row)
            for at, part in enumerate(parts)
            for row in (self._ordering.followers(part, bad[at]) if bad[at] else ())
        }

    def _without_followers(
        self, parts: Sequence[DecodedBatch], poison: Mapping[_RowIndex, str], followers: set[_RowIndex]
    ) -> None:
        out = followers.union(poison)
        rows = [{row for number, row in out if number == at} for at in range(len(parts))]
        self.run([_without(part, gone) for part, gone in zip(parts, rows, strict=True)])
        for place in sorted(out):
            # A follower has poison before it, and so is parked, whatever else it is.
            self._route_failed(parts, place, poison.get(place, ""))

    def _run_between_poison(self, parts: Sequence[DecodedBatch], poison: Mapping[_RowIndex, str]) -> None:
        """What comes before each piece of poison, and then that."""
        for at, part in enumerate(parts):
            begun = 0
            for row in [row for number, row in poison if number == at]:
                self.run([part.slice(begun, row)])
                self._route_failed(parts, (at, row), poison[at, row])
                begun = row + 1
            self.run([part.slice(begun, len(part))])

    def _route_failed(self, parts: Sequence[DecodedBatch], place: _RowIndex, reason: str) -> None:
        part, row = parts[place[0]], place[1]
        content = part.batch.table.slice(row, 1).to_pylist()[0]
        self._router.route_failed(part.records[row], content, self._ordering.of(part, row), reason)

    def _handle_error(self, parts: Sequence[DecodedBatch], error: Exception) -> None:
        if _total(parts) > 1:
            if self._state:
                self._state.discard()
            self._in_halves(parts)
        else:
            self._route_failed(parts, (0, 0), self._reason_of_error(error))

    def _in_halves(self, parts: Sequence[DecodedBatch]) -> None:
        first, second = _halves(parts, _total(parts) // 2)
        self.run(first)
        self.run(second)

    def _reason_of_error(self, error: Exception) -> str:
        """Why a single record failed. BrokenStepError where that is more often so than it may be."""
        if self._state:
            self._state.discard()
        self._failures += 1
        name, reason = self._context.step.name, f"unexpected:{type(error).__name__}"
        # The error's text may hold what it was raised about: its type and place must do.
        log.error("record.failed", step=name, reason=reason, at=error_location(error))
        if self._failures > self._context.settings.failures_max:
            raise BrokenStepError(f"{name} raised on {self._failures} records of one batch")
        return reason

    def _process(self, batches: Sequence[Batch]) -> Result:
        process: Callable[..., Result] = self._context.step.processor.process
        return process(batches) if self._state is None else process(batches[0], self._state)

    def _encoded(self, outputs: Sequence[Output]) -> list[ProducerRecords]:
        """Each as records. Those of one schema are encoded together: for few rows a call costs more than they do."""
        alike: dict[tuple[str, pa.Schema], list[int]] = {}
        for at, output in enumerate(outputs):
            alike.setdefault((output.schema, output.table.schema), []).append(at)
        found: dict[int, ProducerRecords] = {}
        for (schema, _), places in alike.items():
            joined = pa.concat_tables([outputs[at].table for at in places])
            values = iter(self._context.codec.encode(schema, joined).to_pylist())
            for at in places:
                found[at] = self._producer_records(
                    outputs[at], list(islice(values, outputs[at].table.num_rows))
                )
        return [found[at] for at in range(len(outputs))]

    def _producer_records(self, output: Output, values: list[bytes]) -> ProducerRecords:
        if max(map(len, values)) > self._context.settings.record_bytes_max:
            raise ValueError(f"a record for {output.topic} is larger than record_bytes_max")
        keys: list[Any] = output.key.cast(pa.binary()).to_pylist()
        stamps = None if output.timestamps_ms is None else output.timestamps_ms.to_pylist()
        if len(keys) != len(values) or (stamps is not None and len(stamps) != len(values)):
            raise ValueError(f"keys or timestamps for {output.topic} are not one a row")
        return ProducerRecords(output.topic, keys, values, stamps)


def error_location(error: BaseException) -> str:
    """File and line where an error was raised; no data."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _sorted_poison(poison: Sequence[Poison]) -> list[Poison]:
    return sorted(poison, key=lambda each: (each.batch, each.index))


def _total(parts: Sequence[DecodedBatch]) -> int:
    return sum(map(len, parts))


def _without(part: DecodedBatch, rows: set[int]) -> DecodedBatch:
    return part.take([row for row in range(len(part)) if row not in rows]) if rows else part


def _halves(parts: Sequence[DecodedBatch], size: int) -> tuple[list[DecodedBatch], list[DecodedBatch]]:
    """The first `size` rows, and the others."""
    first, second = list[DecodedBatch](), list[DecodedBatch]()
    for part in parts:
        cut = min(size, len(part))
        size -= cut
        if cut:
            first.append(part.slice(0, cut))
        if cut < len(part):
            second.append(part.slice(cut, len(part)))
    return first, second
