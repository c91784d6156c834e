"""What a sink sets aside, as entries of its store and as dead letters for the mesh."""

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
from streams.dead_letters import DeadLetter, DeadLetterEncoder, encode_dead_letters
from streams.sealing import Coding

log = structlog.get_logger()

_NONE_KNOWN: Final[Mapping[int, DlqRow]] = {}


@dataclass
class RejectedRecords:
    """`entries` for the store, `dead` for the mesh; `letters` are the indices of the records that are letters now."""

    entries: list[DlqRow] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    letters: set[int] = field(default_factory=set)


class DeadLetterBuilder:
    """Makes the letters of one sink, each of at most `bytes_max`."""

    def __init__(self, step: str, coding: Coding, bytes_max: int) -> None:
        self._step, self._sealer = step, coding.sealer
        self._desk = DeadLetterEncoder(step, coding.codec, coding.sealer, bytes_max)

    def aside(
        self, waiting: PendingBatch, found: BatchResult, known: Mapping[int, DlqRow] = _NONE_KNOWN
    ) -> RejectedRecords:
        """All of a batch that is to be set aside; `known` are letters, by index, that keep their names."""
        made = RejectedRecords()
        for refused in waiting.lost:
            digest = dead_letter_id(self._sealer, _message(waiting.records[refused.record]))
            self._letter(made, waiting, refused.record, DlqRow(0, 0, DEAD_LETTER, digest, refused.reason))
        for row, reason in found.letters.items():
            index = waiting.indices[row].as_py()
            self._letter(made, waiting, index, self._entry(waiting, row, reason, known.get(index)))
        for row in sorted(found.behind):
            place = _place(waiting.records[waiting.indices[row].as_py()])
            made.entries.append(DlqRow(*place, BLOCKED, ordering_key=waiting.strands[row].as_py()))
        return made

    def again(self, entry: DlqRow, record: Record, reason: str) -> DeadLetter:
        """A letter that could not even be tried."""
        log.warning("record.dead-lettered", step=self._step, reason=reason)
        return DeadLetter(_message(record), reason, entry.digest)

    def outgoing(self, dead: Sequence[DeadLetter]) -> list[ProducerRecords]:
        """Encoded for the step's topic."""
        return encode_dead_letters(self._desk, dead)

    def _entry(self, waiting: PendingBatch, row: int, reason: str, known: DlqRow | None) -> DlqRow:
        if known is not None:
            return replace(known, reason=reason)
        record = _message(waiting.records[waiting.indices[row].as_py()])
        digest = dead_letter_id(self._sealer, record, waiting.table.slice(row, 1).to_pylist()[0])
        return DlqRow(0, 0, DEAD_LETTER, digest, reason, waiting.strands[row].as_py())

    def _letter(self, made: RejectedRecords, waiting: PendingBatch, index: int, entry: DlqRow) -> None:
        record = waiting.records[index]
        partition, offset = _place(record)
        log.warning("record.dead-lettered", step=self._step, reason=entry.reason)
        made.entries.append(replace(entry, partition=partition, offset=offset))
        made.dead.append(DeadLetter(_message(record), entry.reason, entry.digest))
        made.letters.add(index)


def _message(record: Any) -> Message:
    """A sink's records are a broker's messages too; only errors aren't among them."""
    message: Message = record
    return message


def _place(record: Record) -> tuple[int, int]:
    return record.partition() or 0, record.offset() or 0
