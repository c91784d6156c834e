"""Dead letters: a record that can't be processed goes aside with its origin and its bytes, and the others go on.

They are published in the transaction that carries the offset of their record: nothing is lost, or set aside twice.
What it held is sealed. What becomes of it later follows under the same key, without content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.codec import Codec
from schemas.tables import table_from_rows
from schemas.topics import dlq_topic
from streams.clients import Message, ProducerRecords
from streams.sealing import Sealer

SCHEMA: Final = "dead-letter"
OPEN: Final = "OPEN"
#: What a dead letter needs beside key and value, both as they are sealed.
_ENVELOPE_BYTES: Final = 1_280


@dataclass(frozen=True)
class DeadLetter:
    """A record, and a short reason without personal data; `digest` names it, `status` says what became of it."""

    record: Message
    reason: str
    digest: str = ""
    status: str = OPEN
    command: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class DeadLetterEncoder:
    """What letters are written with: for a step, at most so many bytes each."""

    step: str
    codec: Codec
    sealer: Sealer
    bytes_max: int


def encode_dead_letters(desk: DeadLetterEncoder, letters: Sequence[DeadLetter]) -> list[ProducerRecords]:
    """The letters of one transaction, encoded, for the step's own topic.

    Where key and value are too large to be sent on, the letter has neither (`…:content-at-source`): topic, partition and
    offset say where they stand.
    """
    if not letters:
        return []
    rows = [_row(desk, letter) for letter in letters]
    values = desk.codec.encode(SCHEMA, table_from_rows(SCHEMA, rows, desk.codec.catalogue)).to_pylist()
    keys = [f"{row['topic']}/{row['partition']}/{row['offset']}".encode() for row in rows]
    return [ProducerRecords(dlq_topic(desk.step), keys, values)]


def seal_context(step: str, digest: str, part: str) -> str:
    """What sealed content is bound to: `part` is key, value, or repair."""
    return f"{step}/{digest}/{part}"


def _row(desk: DeadLetterEncoder, letter: DeadLetter) -> dict[str, Any]:
    record = letter.record
    return {
        "step": desk.step,
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp_ms": record.timestamp()[1],
        "sealed": True,
        "digest": letter.digest,
        "status": letter.status,
        "command": letter.command,
        "note": letter.note,
        **_content(desk, letter),
    }


def _content(desk: DeadLetterEncoder, letter: DeadLetter) -> dict[str, Any]:
    key, value = letter.record.key(), letter.record.value()
    if letter.status != OPEN:
        return {"reason": letter.reason, "key": None, "value": None}
    if len(key or b"") + len(value or b"") > desk.bytes_max - _ENVELOPE_BYTES:
        return {"reason": f"{letter.reason}:content-at-source", "key": None, "value": None}
    return {
        "reason": letter.reason,
        "key": _sealed(desk, letter, "key", key),
        "value": _sealed(desk, letter, "value", value),
    }


def _sealed(desk: DeadLetterEncoder, letter: DeadLetter, part: str, content: bytes | None) -> bytes | None:
    if content is None:
        return None
    return desk.sealer.seal(content, seal_context(desk.step, letter.digest, part))
