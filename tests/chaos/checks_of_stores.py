"""The second half of `checker`: from what was decided for a domain to its store, and back by receipts. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Final

from tests.chaos.model import DomainRecord, Evidence
from tests.chaos.store_watch import RowKey, StoreSnapshot

Findings = Iterator[tuple[str, str]]


def conversions(evidence: Evidence) -> Findings:
    """What a domain is told is what was decided for it, once, and disclosed once."""
    for domain in sorted({*evidence.told, *evidence.given}):
        codes = evidence.codes.get(domain, {})
        wanted = Counter(
            (codes.get(each.person, "?"), each.revision) for each in evidence.told.get(domain, ())
        )
        given = Counter((each.key.code, each.revision) for each in evidence.given.get(domain, ()))
        for name, there in (("told", given), ("disclosed", Counter(evidence.disclosed.get(domain, ())))):
            missing, more = wanted - there, there - wanted
            if missing:
                yield "not-converted", f"{domain}: {missing.total()} changes were not {name}"
            if more:
                yield (
                    "converted-twice",
                    f"{domain}: {more.total()} changes were {name} beyond what was decided",
                )


def receipts(evidence: Evidence) -> Findings:
    """A receipt for each change, by its id; relayed twice, it is the same."""
    for domain in sorted({*evidence.given, *evidence.receipts}):
        wanted = {each.receipt for each in evidence.given.get(domain, ())}
        there = {each.id for each in evidence.receipts.get(domain, ())}
        yield from _compared(f"receipts of {domain}", wanted, there)
        moments = {(each.id, each.applied_at) for each in evidence.receipts.get(domain, ())}
        if len(moments) > len(there):
            yield "receipt-differs", f"{domain}: {len(moments) - len(there)} copies differ"


def receipts_converted(evidence: Evidence) -> Findings:
    """What came back from a domain is converted once for each time that it came, with what it says."""
    wanted, there = Counter(_came_back(evidence)), Counter(_converted(evidence))
    if missing := (wanted - there).total():
        yield "receipt-missing", f"{missing} receipts in the mesh's codes"
    if more := (there - wanted).total():
        yield "receipt-unknown", f"{more} receipts in the mesh's codes, beyond those that came back"


def _came_back(evidence: Evidence) -> Iterator[tuple[str, str, int, object]]:
    for domain, found in evidence.receipts.items():
        for each in found:
            code, *_, revision = each.id.split(".")
            yield domain, code, int(revision), each.applied_at


def _converted(evidence: Evidence) -> Iterator[tuple[str, str, int, object]]:
    for each in evidence.converted:
        code = evidence.codes.get(each.domain, {}).get(each.person, "?")
        yield each.domain, code, each.revision, each.applied_at


def _compared(name: str, wanted: Set[object], there: Set[object]) -> Findings:
    if missing := len(wanted - there):
        yield "receipt-missing", f"{missing} {name}"
    if more := len(there - wanted):
        yield "receipt-unknown", f"{more} {name}"


def rows(evidence: Evidence) -> Findings:
    """Each store ends with the newest revision of each row, and without those that were deleted by it."""
    newest: dict[RowKey, DomainRecord] = {}
    for given in evidence.given.values():
        for each in given:
            if each.key not in newest or newest[each.key].revision < each.revision:
                newest[each.key] = each
    wanted = {key: each.revision for key, each in newest.items() if not each.deleted}
    for key in wanted.keys() - evidence.rows.keys():
        yield "row-missing", f"{key.domain}: a row of {key.entity}"
    for key in evidence.rows.keys() - wanted.keys():
        yield "row-unexpected", f"{key.domain}: a row of {key.entity}"
    for key in wanted.keys() & evidence.rows.keys():
        if evidence.rows[key] != wanted[key]:
            yield "row-behind", f"{key.domain}: revision {evidence.rows[key]}, not {wanted[key]}"


def rows_with_offsets(evidence: Evidence) -> Findings:
    """In every snapshot the rows are those of the records before the offsets stored in it, and no others."""
    looks: dict[str, list[StoreSnapshot]] = defaultdict(list)
    for look in evidence.looks:
        looks[look.domain].append(look)
    for domain, seen in looks.items():
        given = evidence.given.get(domain, ())
        yield from _no_row_before_its_offset(given, seen)
        yield from _no_offset_before_its_row(given, seen)


def _no_row_before_its_offset(given: Sequence[DomainRecord], looks: Sequence[StoreSnapshot]) -> Findings:
    places = {(each.key, each.revision): (each.partition, each.offset) for each in given}
    for look in looks:
        for key, revision in look.revisions.items():
            partition, offset = places.get((key, revision), (-1, -1))
            if partition < 0:
                yield "aborted-read", f"{key.domain}: a row was there that no committed record tells of"
            elif offset >= look.offsets.get(partition, 0):
                yield "row-apart-from-offset", f"{key.domain}: a row was there before the offset after it"


def _no_offset_before_its_row(given: Sequence[DomainRecord], looks: Sequence[StoreSnapshot]) -> Findings:
    waiting: dict[int, list[DomainRecord]] = defaultdict(list)
    for each in sorted(given, key=lambda each: -each.offset):
        waiting[each.partition].append(each)
    deleted = {each.key for each in given if each.deleted}
    now: dict[RowKey, int] = {}
    for look in looks:
        now.update(look.revisions)
        for partition, next_offset in look.offsets.items():
            behind = waiting[partition]
            while behind and behind[-1].offset < next_offset:
                each = behind.pop()
                if each.key not in deleted and now.get(each.key, 0) < each.revision:
                    yield "row-apart-from-offset", f"{each.key.domain}: an offset was there before its row"


def reads(evidence: Evidence) -> Findings:
    """No batch of a step ends at a record that was aborted: whoever reads committed records never sees it.

    A sink also goes on from the end of a partition, whatever stands before it: what it read shows in its rows.
    """
    for batch in evidence.batches:
        last = batch.offset_next - 1
        topic, number = batch.partition
        if last in evidence.aborted.get(batch.partition, frozenset()):
            yield "aborted-read", f"{batch.step} went on from the aborted {topic}/{number}/{last}"
        elif last not in evidence.committed.get(batch.partition, frozenset()):
            yield "aborted-read", f"{batch.step} went on from {topic}/{number}/{last}, which is no record"


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (
    conversions,
    receipts,
    receipts_converted,
    rows,
    rows_with_offsets,
    reads,
)
