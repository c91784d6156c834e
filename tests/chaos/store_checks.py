"""Checks from a domain's changes to its store, and back by receipts. Pure; part of `checker`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Final

from tests.chaos.model import DomainRecord, Evidence, Findings
from tests.chaos.store_watch import RowKey, StoreSnapshot


def check_conversions(evidence: Evidence) -> Findings:
    """Check that each change of a domain was published to it once and disclosed once."""
    for domain in sorted({*evidence.changes, *evidence.domain_records}):
        codes = evidence.codes.get(domain, {})
        expected = Counter(
            (codes.get(change.person, "?"), change.revision) for change in evidence.changes.get(domain, ())
        )
        published = Counter(
            (record.key.code, record.revision) for record in evidence.domain_records.get(domain, ())
        )
        disclosed = Counter(evidence.disclosures.get(domain, ()))
        for name, actual in (("published", published), ("disclosed", disclosed)):
            missing, unexpected = expected - actual, actual - expected
            if missing:
                yield "not-converted", f"{domain}: {missing.total()} changes were not {name}"
            if unexpected:
                description = f"{domain}: {unexpected.total()} changes more than expected were {name}"
                yield "converted-twice", description


def check_receipts(evidence: Evidence) -> Findings:
    """Check that each change of a domain has its receipt, and that duplicates of a receipt are identical."""
    for domain in sorted({*evidence.domain_records, *evidence.receipts}):
        expected = {record.receipt for record in evidence.domain_records.get(domain, ())}
        actual = {receipt.id for receipt in evidence.receipts.get(domain, ())}
        yield from _compare_receipts(f"receipts of {domain}", expected, actual)
        versions = {(receipt.id, receipt.applied_at) for receipt in evidence.receipts.get(domain, ())}
        if len(versions) > len(actual):
            yield "receipt-differs", f"{domain}: {len(versions) - len(actual)} duplicates differ"


def check_converted_receipts(evidence: Evidence) -> Findings:
    """Check that each receipt record of a domain was converted once, with its content."""
    expected, actual = Counter(_domain_receipts(evidence)), Counter(_converted_receipts(evidence))
    if missing := (expected - actual).total():
        yield "receipt-missing", f"{missing} receipts were not converted to mesh codes"
    if unexpected := (actual - expected).total():
        yield "receipt-unknown", f"{unexpected} receipts with mesh codes have no receipt of a domain"


def _domain_receipts(evidence: Evidence) -> Iterator[tuple[str, str, int, object]]:
    for domain, receipts in evidence.receipts.items():
        for receipt in receipts:
            code, *_, revision = receipt.id.split(".")
            yield domain, code, int(revision), receipt.applied_at


def _converted_receipts(evidence: Evidence) -> Iterator[tuple[str, str, int, object]]:
    for receipt in evidence.converted_receipts:
        code = evidence.codes.get(receipt.domain, {}).get(receipt.person, "?")
        yield receipt.domain, code, receipt.revision, receipt.applied_at


def _compare_receipts(name: str, expected: Set[object], actual: Set[object]) -> Findings:
    if missing := len(expected - actual):
        yield "receipt-missing", f"{missing} {name}"
    if unexpected := len(actual - expected):
        yield "receipt-unknown", f"{unexpected} {name}"


def check_rows(evidence: Evidence) -> Findings:
    """Check that each store ends with the highest revision of each row, and without the rows it deletes."""
    newest: dict[RowKey, DomainRecord] = {}
    written = [(key, r) for records in evidence.domain_records.values() for r in records for key in r.keys]
    for key, record in written:
        if key not in newest or newest[key].revision < record.revision:
            newest[key] = record
    expected = {key: record.revision for key, record in newest.items() if not record.deleted}
    for key in expected.keys() - evidence.rows.keys():
        yield "row-missing", f"{key.domain}: a row of {key.entity}"
    for key in evidence.rows.keys() - expected.keys():
        yield "row-unexpected", f"{key.domain}: a row of {key.entity}"
    for key in expected.keys() & evidence.rows.keys():
        if evidence.rows[key] != expected[key]:
            yield "row-outdated", f"{key.domain}: revision {evidence.rows[key]}, not {expected[key]}"


def check_rows_with_offsets(evidence: Evidence) -> Findings:
    """Check that every snapshot has exactly the rows of the records before the offsets stored in it."""
    by_domain: dict[str, list[StoreSnapshot]] = defaultdict(list)
    for snapshot in evidence.snapshots:
        by_domain[snapshot.domain].append(snapshot)
    for domain, snapshots in by_domain.items():
        records = evidence.domain_records.get(domain, ())
        yield from _check_no_row_before_its_offset(records, snapshots)
        yield from _check_no_offset_before_its_row(records, snapshots)


def _check_no_row_before_its_offset(
    records: Sequence[DomainRecord], snapshots: Sequence[StoreSnapshot]
) -> Findings:
    positions = {
        (key, record.revision): (record.partition, record.offset) for record in records for key in record.keys
    }
    for snapshot in snapshots:
        for key, revision in snapshot.revisions.items():
            partition, offset = positions.get((key, revision), (-1, -1))
            if partition < 0:
                yield "aborted-read", f"{key.domain}: a row appeared that no committed record has"
            elif offset >= snapshot.offsets.get(partition, 0):
                yield "row-offset-mismatch", f"{key.domain}: a row appeared before the offset after it"


def _check_no_offset_before_its_row(
    records: Sequence[DomainRecord], snapshots: Sequence[StoreSnapshot]
) -> Findings:
    #: By partition, the records that no snapshot had yet, the next one last.
    pending: dict[int, list[DomainRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: -record.offset):
        pending[record.partition].append(record)
    deleted = {record.key for record in records if record.deleted}
    revisions: dict[RowKey, int] = {}
    for snapshot in snapshots:
        revisions.update(snapshot.revisions)
        for partition, next_offset in snapshot.offsets.items():
            of_partition = pending[partition]
            while of_partition and of_partition[-1].offset < next_offset:
                record = of_partition.pop()
                for key in record.keys:
                    if key not in deleted and revisions.get(key, 0) < record.revision:
                        yield "row-offset-mismatch", f"{key.domain}: an offset appeared before its row"


def check_reads(evidence: Evidence) -> Findings:
    """Check that no batch of a step ends at an aborted record: a reader of committed records never receives one.

    Sinks are not checked here: a sink's position may also be the end of a partition, after a marker or an aborted
    record. The records that it read show in its rows.
    """
    for batch in evidence.batches:
        last = batch.next_offset - 1
        topic, partition = batch.partition
        if last in evidence.aborted_records.get(batch.partition, frozenset()):
            yield "aborted-read", f"a batch of {batch.step} ended at the aborted {topic}/{partition}/{last}"
        elif last not in evidence.committed_records.get(batch.partition, frozenset()):
            yield "aborted-read", f"a batch of {batch.step} ended at {topic}/{partition}/{last}, not a record"


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (
    check_conversions,
    check_receipts,
    check_converted_receipts,
    check_rows,
    check_rows_with_offsets,
    check_reads,
)
