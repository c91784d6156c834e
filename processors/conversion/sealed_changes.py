"""The conversion of changes for a domain of the high level: opened, converted, and sealed for the domain's sink."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from processors.codes import Cipher
from processors.columns import contiguous
from processors.conversion.changes import ChangeConverter
from processors.sealed_outputs import sealed_output
from schemas.systems import Domain
from schemas.topics import change_topic, domain_topic
from streams.contract import Batch, Output, Poison, Result, Tables
from streams.high_level import HighSealer
from streams.sealed_rows import opened_table

_SCHEMA = "domain-change"


class SealedChangeConverter:
    """Converts sealed records of `change.<domain>` into those of `domain.<domain>` and `disclosure.<domain>`.

    `sealer` has the keys of the high level, `sink_sealer` those that the domain's sink has too. Poison: as in
    `ChangeConverter`, and `sealed-otherwise` or `sealed-content` for a box that can't be read.
    """

    def __init__(self, domain: Domain, cipher: Cipher, sealer: HighSealer, sink_sealer: HighSealer) -> None:
        self._domain, self._sealer, self._sink_sealer = domain, sealer, sink_sealer
        self._inner = ChangeConverter(domain, cipher)

    def convert(self, batch: Batch, tables: Tables) -> Result:
        """Return the domain's records and the disclosures; `Poison.index` is a row of the batch."""
        boxes = contiguous(batch.table.column("sealed")).to_pylist()
        table, rows, reasons = opened_table(self._sealer, change_topic(self._domain.id), _SCHEMA, boxes)
        poison = [Poison(0, row, reason) for row, reason in reasons.items()]
        if not rows:
            return Result((), poison)
        meta = batch.meta.take(pa.array(rows, pa.int64()))
        result = self._inner.convert(replace(batch, schema=_SCHEMA, table=table, meta=meta), tables)
        poison += [Poison(0, rows[each.index], each.reason) for each in result.poison]
        return Result([self._sealed(output) for output in result.outputs], poison)

    def _sealed(self, output: Output) -> Output:
        is_for_sink = output.topic == domain_topic(self._domain.id)
        sealer = self._sink_sealer if is_for_sink else self._sealer
        return sealed_output(sealer, output.topic, output.table, output.key.to_pylist())
