"""The step: what fan-out decided, in each domain's own codes, with a record of every disclosure; and receipts back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, KeyRing
from processors.columns import whole
from processors.conversion.changes import changes_of, faults, records
from processors.conversion.disclosures import disclosures
from processors.conversion.receipts import receipts
from schemas.systems import DOMAINS
from schemas.topics import RECEIPT, change_topic, disclosure_topic, domain_receipt_topic, domain_topic
from streams.contract import Batch, Output, Poison, Result

_CHANGES: Final = {change_topic(domain): domain for domain in DOMAINS}
_RECEIPTS: Final = {domain_receipt_topic(domain): domain for domain in DOMAINS}

_Found = Output | Poison


class ConversionProcessor:
    """Reads `change.<domain>` and `receipt.<domain>`; writes `domain.<domain>`, `disclosure.<domain>`, `receipt`.

    Poison: `no-rule`, `bad-code`, `reading`, `no-status` (changes), `unknown-code` (receipts), `wrong-topic`.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._ciphers: dict[str, Cipher] = {domain: keys.cipher(domain) for domain in DOMAINS}

    def process(self, batches: Sequence[Batch]) -> Result:
        """Outputs in the order of the batches; within a batch domain by domain, in the order of its records."""
        found = [one for number, batch in enumerate(batches) for one in self._converted(number, batch)]
        outputs = [one for one in found if isinstance(one, Output) and len(one.table)]
        return Result(outputs, [one for one in found if isinstance(one, Poison)])

    def _converted(self, number: int, batch: Batch) -> Iterator[_Found]:
        topics = whole(batch.meta.column("topic"))
        for topic in pc.unique(topics).to_pylist():
            places = pc.indices_nonzero(pc.equal(topics, topic))
            table = batch.table if len(places) == len(topics) else batch.table.take(places)
            if topic in _CHANGES and batch.schema == "domain-change":
                yield from self._changes(_CHANGES[topic], table, places, number)
            elif topic in _RECEIPTS and batch.schema == "receipt-domain":
                yield from self._receipts(_RECEIPTS[topic], table, places, number)
            else:
                yield from (Poison(number, index, "wrong-topic") for index in places.to_pylist())

    def _changes(self, domain: str, table: pa.Table, places: pa.Array, number: int) -> Iterator[_Found]:
        changes = changes_of(DOMAINS[domain], self._ciphers[domain], table)
        fault = faults(changes)
        if fault.null_count < len(fault):
            bad = pc.is_valid(fault)
            for index, reason in zip(
                places.filter(bad).to_pylist(), fault.drop_null().to_pylist(), strict=True
            ):
                yield Poison(number, index, reason)
            changes = changes_of(changes.domain, changes.cipher, table.filter(pc.is_null(fault)))
        times = changes.timestamps_ms
        yield Output(domain_topic(domain), changes.domain.event, records(changes), changes.codes, times)
        yield Output(disclosure_topic(domain), "disclosure", disclosures(changes), changes.codes, times)

    def _receipts(self, domain: str, table: pa.Table, places: pa.Array, number: int) -> Iterator[_Found]:
        converted, keys, known = receipts(DOMAINS[domain], self._ciphers[domain], table)
        for index in places.filter(pc.invert(known)).to_pylist():
            yield Poison(number, index, "unknown-code")
        yield Output(RECEIPT, "receipt", converted, keys)
