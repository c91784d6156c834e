"""Outputs for topics of the high level: sealed records under keyed digests, all of one time."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from processors.columns import constant
from schemas.systems.model import SEALED_RECORD
from streams.contract import Output
from streams.high_level import HighSealer, required
from streams.sealed_rows import sealed_keys, sealed_table

#: Timestamp of records whose day of effect must not be seen: Kafka has no earlier one, and clients take 0 for "now".
_NO_TIME_MS = 1


def sealed_output(sealer: HighSealer | None, topic: str, table: pa.Table, keys: Iterable[str]) -> Output:
    """Return the rows of a table as sealed records for a topic, with a digest in place of each key."""
    sealer = required(sealer)
    return Output(
        topic,
        SEALED_RECORD,
        sealed_table(sealer, topic, table),
        sealed_keys(sealer, topic, keys),
        constant(_NO_TIME_MS, table.num_rows, pa.int64()),
    )
