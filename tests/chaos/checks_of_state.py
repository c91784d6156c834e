"""The third part of `checker`: state that was restored is the state that was lost. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tests.chaos.model import CommittedBatch, Evidence, Restored

Findings = Iterator[tuple[str, str]]
#: A step and the number of a partition.
Place = tuple[str, int]


def restored(evidence: Evidence) -> Findings:
    """Whoever restores has the state of the last batch that was committed by then, or of a later one.

    A worker that was killed may have committed a batch without a word of it: then there are records in no batch.
    """
    batches = _by_place(evidence.batches)
    restorations: dict[Place, list[Restored]] = defaultdict(list)
    for each in evidence.restored:
        if each.digest is not None:
            restorations[each.step, each.number].append(each)
    for place, found in sorted(restorations.items()):
        of, (step, number) = batches.get(place, []), place
        known = {each.digest: each.offset_next for each in sorted(of, key=lambda each: each.offset_next)}
        known.setdefault(evidence.nothing.get(step), 0)
        unknown = {each.digest for each in found if each.digest not in known}
        if len(unknown) > (untold := _untold(evidence, of)):
            what = f"{len(unknown)} states that nobody committed ({untold} records in no batch)"
            yield "state-differs", f"{step} restored {what} in partition {number}"
        for each in found:
            latest = max((batch.offset_next for batch in of if batch.at <= each.begun_at), default=0)
            if known.get(each.digest, latest) < latest:
                stale = f"what stood at {known[each.digest]}, when {latest} was committed"
                yield "state-differs", f"{step} restored {stale}, in partition {number}"


def at_the_end(evidence: Evidence) -> Findings:
    """Changelogs hold the state that the last batch left."""
    batches = _by_place(evidence.batches)
    for (step, number), digest in sorted(evidence.states.items()):
        of = batches.get((step, number), [])
        last = max(of, key=lambda each: each.offset_next, default=None)
        wanted = evidence.nothing.get(step) if last is None else last.digest
        if digest != wanted and not _untold(evidence, of):
            yield "state-differs", f"{step}: changelogs of partition {number} hold another state in the end"


def _by_place(batches: Sequence[CommittedBatch]) -> Mapping[Place, list[CommittedBatch]]:
    found: dict[Place, list[CommittedBatch]] = defaultdict(list)
    for each in batches:
        if each.digest is not None:
            found[each.step, each.partition[1]].append(each)
    return found


def _untold(evidence: Evidence, batches: Sequence[CommittedBatch]) -> int:
    """Committed records of a partition that are in none of the batches told of."""
    told: set[int] = set()
    there: list[int] = []
    for each in batches:
        there = there or sorted(evidence.committed.get(each.partition, ()))
        end = bisect_left(there, each.offset_next)
        told.update(there[max(0, end - each.records) : end])
    return len(there) - len(told)


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (restored, at_the_end)
