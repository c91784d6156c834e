"""Dead letters: records that a step couldn't process, published with their origin and their sealed content.

They are published in the transaction that commits the offset of their record: so none is lost, and none is published
twice. When an operator command has resolved one, its new status follows under the same key, without content.
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
#: Upper bound of the bytes that a dead letter needs besides key and value: other fields, and what sealing adds.
_ENVELOPE_BYTES: Final = 1_280


@dataclass(frozen=True)
class DeadLetter:
    """A record, and a short reason without personal data.

    `digest` is its id (`streams.dead_letter_queue.dead_letter_id`). `status` is OPEN, or the result of the operator
    command whose id is `command`; `dismissal_reason` is the operator's reason for that command.
    """

    record: Message
    reason: str
    digest: str = ""
    status: str = OPEN
    command: str | None = None
    dismissal_reason: str | None = None


@dataclass(frozen=True)
class DeadLetterEncoder:
    """Encodes the dead letters of one step, each with at most `bytes_max` bytes."""

    step: str
    codec: Codec
    sealer: Sealer
    bytes_max: int

    def encode(self, dead_letters: Sequence[DeadLetter]) -> list[ProducerRecords]:
        """Return the dead letters of one transaction as records for the step's topic `dlq.<step>`.

        If key and value are too large to be published again, the dead letter has neither, and its reason ends with
        `:content-at-source`: they can be read at its topic, partition and offset.
        """
        if not dead_letters:
            return []
        rows = [self._row(dead_letter) for dead_letter in dead_letters]
        values = self.codec.encode(SCHEMA, table_from_rows(SCHEMA, rows, self.codec.catalogue)).to_pylist()
        keys = [f"{row['topic']}/{row['partition']}/{row['offset']}".encode() for row in rows]
        return [ProducerRecords(dlq_topic(self.step), keys, values)]

    def _row(self, dead_letter: DeadLetter) -> dict[str, Any]:
        record = dead_letter.record
        return {
            "step": self.step,
            "topic": record.topic(),
            "partition": record.partition(),
            "offset": record.offset(),
            "timestamp_ms": record.timestamp()[1],
            "sealed": True,
            "digest": dead_letter.digest,
            "status": dead_letter.status,
            "command": dead_letter.command,
            "dismissal_reason": dead_letter.dismissal_reason,
            **self._reason_and_content(dead_letter),
        }

    def _reason_and_content(self, dead_letter: DeadLetter) -> dict[str, Any]:
        reason, key, value = dead_letter.reason, dead_letter.record.key(), dead_letter.record.value()
        if dead_letter.status != OPEN:
            return {"reason": reason, "key": None, "value": None}
        if len(key or b"") + len(value or b"") > self.bytes_max - _ENVELOPE_BYTES:
            return {"reason": f"{reason}:content-at-source", "key": None, "value": None}
        return {
            "reason": reason,
            "key": self._sealed(dead_letter, "key", key),
            "value": self._sealed(dead_letter, "value", value),
        }

    def _sealed(self, dead_letter: DeadLetter, field: str, content: bytes | None) -> bytes | None:
        if content is None:
            return None
        return self.sealer.seal(content, seal_context(self.step, dead_letter.digest, field))


def seal_context(step: str, digest: str, field: str) -> str:
    """Return the context that content is sealed for: a dead letter and its field `key`, `value` or `repair`."""
    return f"{step}/{digest}/{field}"
