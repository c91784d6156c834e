"""Dead letters: a record that can't be processed goes aside with its origin and its bytes, and the others go on.

They are published in the transaction that carries the offset of their record: nothing is lost, or set aside twice.
Later records of the same key are not held back behind one yet. The place for that is `Processing.run`: before a batch
is attempted, take out of it the records whose key is parked, and publish them here as parked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.codec import Codec
from schemas.tables import table_from_rows
from schemas.topics import dlq_topic
from streams.clients import Message, Outgoing

SCHEMA: Final = "dead-letter"
#: What a dead letter needs beside key and value.
_ENVELOPE_BYTES: Final = 1_024


@dataclass(frozen=True)
class DeadLetter:
    """A record, and a short reason without personal data."""

    record: Message
    reason: str


def outgoing(step: str, letters: Sequence[DeadLetter], codec: Codec, record_bytes_max: int) -> list[Outgoing]:
    """The letters of one transaction, encoded, for the step's own topic.

    Where key and value are too large to be sent on, the letter has neither (`…:left-at-origin`): topic, partition and
    offset say where they stand.
    """
    if not letters:
        return []
    rows = [_row(step, letter, record_bytes_max - _ENVELOPE_BYTES) for letter in letters]
    values = codec.encode(SCHEMA, table_from_rows(SCHEMA, rows, codec.catalogue)).to_pylist()
    keys = [f"{row['topic']}/{row['partition']}/{row['offset']}".encode() for row in rows]
    return [Outgoing(dlq_topic(step), keys, values)]


def _row(step: str, letter: DeadLetter, bytes_max: int) -> dict[str, Any]:
    record = letter.record
    key, value, reason = record.key(), record.value(), letter.reason
    if len(key or b"") + len(value or b"") > bytes_max:
        key, value, reason = None, None, f"{reason}:left-at-origin"
    return {
        "step": step,
        "reason": reason,
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp_ms": record.timestamp()[1],
        "key": key,
        "value": value,
    }
