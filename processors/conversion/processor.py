"""The conversion step: routes changes for a domain, receipts from a domain and protection measures to converters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pyarrow.compute as pc

from processors.codes import KeyRing
from processors.columns import contiguous
from processors.conversion.change_columns import needs_protection
from processors.conversion.changes import ChangeConverter
from processors.conversion.receipts import ReceiptConverter
from processors.conversion.sealed_changes import SealedChangeConverter
from processors.conversion.withdrawals import WithdrawalConverter
from schemas.systems import DOMAINS
from schemas.systems.model import SEALED_RECORD
from schemas.topics import PROTECTION, change_topic, domain_receipt_topic
from streams.contract import Batch, Output, Poison, Result, Tables
from streams.high_level import HighSealer


class _Converter(Protocol):
    def convert(self, batch: Batch, tables: Tables) -> Result:
        """Convert records of one topic; `Poison.index` is a row of the batch."""


class ConversionProcessor:
    """Reads `change.<domain>`, `receipt.<domain>` and `protection`.

    Writes `domain.<domain>`, `disclosure.<domain>`, `receipt` and `withdrawal.<domain>`. It needs `protection` as a
    table too: what may be shown depends on who is protected when it is published, not when the change was made.
    `sealer` has the keys of the high level, `sink_sealers` those of each domain of that level.

    Poison: see the converters; `wrong-topic` for a record whose schema isn't its topic's.
    """

    def __init__(
        self,
        keys: KeyRing,
        sealer: HighSealer | None = None,
        sink_sealers: Mapping[str, HighSealer] | None = None,
    ) -> None:
        self._converters: dict[tuple[str, str], _Converter] = {
            ("protection", PROTECTION): WithdrawalConverter(keys)
        }
        for domain in DOMAINS.values():
            cipher = keys.cipher(domain.id)
            if domain.is_high:
                if sealer is not None and sink_sealers is not None:
                    self._converters[SEALED_RECORD, change_topic(domain.id)] = SealedChangeConverter(
                        domain, cipher, sealer, sink_sealers[domain.id]
                    )
                continue
            self._converters["domain-change", change_topic(domain.id)] = ChangeConverter(domain, cipher)
            self._converters["receipt-domain", domain_receipt_topic(domain.id)] = ReceiptConverter(
                domain, cipher
            )

    @property
    def tables(self) -> Mapping[str, str]:
        """The schema in the catalogue of each table, by topic."""
        return {PROTECTION: "protection"}

    def needs_tables(self, batches: Sequence[Batch]) -> bool:
        """Return whether any change may show the place of a person; a sealed one may."""
        return any(
            batch.schema == SEALED_RECORD
            or (batch.schema == "domain-change" and needs_protection(batch.table))
            for batch in batches
        )

    def process(self, batches: Sequence[Batch], tables: Tables) -> Result:
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
                of_topic = batch
                if len(rows) < len(topics):
                    of_topic = replace(batch, table=batch.table.take(rows), meta=batch.meta.take(rows))
                result = converter.convert(of_topic, tables)
                outputs += [output for output in result.outputs if len(output.table)]
                if result.poison:
                    indices = rows.to_pylist()
                    poison += [Poison(number, indices[each.index], each.reason) for each in result.poison]
        return Result(outputs, poison)
