"""The conversion step: passes a domain's changes to one converter and its receipts to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import KeyRing
from processors.columns import contiguous
from processors.conversion.changes import ChangeConverter
from processors.conversion.receipts import ReceiptConverter
from schemas.systems import DOMAINS
from schemas.topics import change_topic, domain_receipt_topic
from streams.contract import Batch, Output, Poison, Result


class _Converter(Protocol):
    def convert(self, table: pa.Table) -> Result:
        """Convert records of one topic; `Poison.index` is a row of `table`."""


class ConversionProcessor:
    """Reads `change.<domain>` and `receipt.<domain>`; writes `domain.<domain>`, `disclosure.<domain>`, `receipt`.

    Poison: see `ChangeConverter` and `ReceiptConverter`; `wrong-topic` for a record whose schema isn't its topic's.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._converters: dict[tuple[str, str], _Converter] = {}
        for domain in DOMAINS.values():
            cipher = keys.cipher(domain.id)
            self._converters["domain-change", change_topic(domain.id)] = ChangeConverter(domain, cipher)
            self._converters["receipt-domain", domain_receipt_topic(domain.id)] = ReceiptConverter(
                domain, cipher
            )

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return outputs in the order of the batches; within a batch topic by topic, in the order of its records."""
        outputs: list[Output] = []
        poison: list[Poison] = []
        for number, batch in enumerate(batches):
            topics = contiguous(batch.meta.column("topic"))
            for topic in pc.unique(topics).to_pylist():
                rows = pc.indices_nonzero(pc.equal(topics, topic))
                converter = self._converters.get((batch.schema, topic))
                if converter is None:
                    poison += [Poison(number, row, "wrong-topic") for row in rows.to_pylist()]
                    continue
                table = batch.table if len(rows) == len(topics) else batch.table.take(rows)
                result = converter.convert(table)
                outputs += [output for output in result.outputs if len(output.table)]
                if result.poison:
                    indices = rows.to_pylist()
                    poison += [Poison(number, indices[each.index], each.reason) for each in result.poison]
        return Result(outputs, poison)
