"""Dead letters of a sink: rows of its dead-letter queue, and records for the mesh's dead-letter topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from connectors.postgres.applying import BatchResult, PendingBatch
from connectors.postgres.dlq_table import BLOCKED, DEAD_LETTER, DlqRow
from connectors.sink import Record
from streams.clients import Message, ProducerRecords
from streams.dead_letter_queue import dead_letter_id
from streams.dead_letters import DeadLetter, DeadLetterEncoder
from streams.sealing import Coding

log = structlog.get_logger()

_NONE_KNOWN: Final[Mapping[int, DlqRow]] = {}


@dataclass
class RejectedRecords:
    """Records of a batch that were not applied.

    `dlq_rows` are the rows for the store's dead-letter queue, `dead_letters` the records for the mesh, and
    `record_indices` the indices of the records that are dead letters now.
    """

    dlq_rows: list[DlqRow] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    record_indices: set[int] = field(default_factory=set)


class DeadLetterBuilder:
    """A builder of the dead letters of one sink, each of at most `bytes_max` bytes."""

    def __init__(self, step: str, coding: Coding, bytes_max: int) -> None:
        self._step, self._sealer = step, coding.sealer
        self._encoder = DeadLetterEncoder(step, coding.codec, coding.sealer, bytes_max)

    def build(
        self, batch: PendingBatch, result: BatchResult, known: Mapping[int, DlqRow] = _NONE_KNOWN
    ) -> RejectedRecords:
        """Return the dead letters and blocked records of a batch.

        `known` are earlier dead letters by record index: they keep their ids if they are dead letters again.
        """
        rejected = RejectedRecords()
        for failure in batch.undecodable:
            digest = dead_letter_id(self._sealer, _message(batch.records[failure.index]))
            row = DlqRow(0, 0, DEAD_LETTER, digest, failure.reason)
            self._add_dead_letter(rejected, batch, failure.index, row)
        for index, reason in result.dead_letters.items():
            record_index = batch.record_indices[index].as_py()
            row = self._dlq_row(batch, index, reason, known.get(record_index))
            self._add_dead_letter(rejected, batch, record_index, row)
        for index in sorted(result.blocked):
            position = _position(batch.records[batch.record_indices[index].as_py()])
            ordering_key = batch.ordering_keys[index].as_py()
            rejected.dlq_rows.append(DlqRow(*position, BLOCKED, ordering_key=ordering_key))
        return rejected

    def reopen(self, row: DlqRow, record: Record, reason: str) -> DeadLetter:
        """Return the dead letter of a record that a command could not even try to apply, with the new reason."""
        log.warning("record.dead-lettered", step=self._step, reason=reason)
        return DeadLetter(_message(record), reason, row.digest)

    def encode(self, dead_letters: Sequence[DeadLetter]) -> list[ProducerRecords]:
        """Encode dead letters for the topic of the step."""
        return self._encoder.encode(dead_letters)

    def _dlq_row(self, batch: PendingBatch, index: int, reason: str, known: DlqRow | None) -> DlqRow:
        if known is not None:
            return replace(known, reason=reason)
        record = _message(batch.records[batch.record_indices[index].as_py()])
        digest = dead_letter_id(self._sealer, record, batch.table.slice(index, 1).to_pylist()[0])
        return DlqRow(0, 0, DEAD_LETTER, digest, reason, batch.ordering_keys[index].as_py())

    def _add_dead_letter(
        self, rejected: RejectedRecords, batch: PendingBatch, record_index: int, row: DlqRow
    ) -> None:
        record = batch.records[record_index]
        partition, offset = _position(record)
        log.warning("record.dead-lettered", step=self._step, reason=row.reason)
        rejected.dlq_rows.append(replace(row, partition=partition, offset=offset))
        rejected.dead_letters.append(DeadLetter(_message(record), row.reason, row.digest))
        rejected.record_indices.add(record_index)


def _message(record: Any) -> Message:
    """Return a sink's record as the broker's message that it is: only errors are never among them."""
    message: Message = record
    return message


def _position(record: Record) -> tuple[int, int]:
    return record.partition() or 0, record.offset() or 0
