"""Checks that restored state is the committed state. Pure; part of `checker`."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.chaos.model import CommittedBatch, Evidence, Findings, RestoredState

#: A step, and the number of an input partition.
Task = tuple[str, int]


def check_restored_states(evidence: Evidence) -> Findings:
    """Check that each restored state is that of the last batch committed before the restore, or of a later one.

    A worker may have been killed between a commit and its log line: then some committed records are in no logged batch,
    and so many restored states may be unknown.
    """
    batches_by_task = _batches_by_task(evidence.batches)
    restored_by_task: dict[Task, list[RestoredState]] = defaultdict(list)
    for state in evidence.restored:
        if state.digest is not None:
            restored_by_task[state.step, state.partition].append(state)
    for (step, partition), states in sorted(restored_by_task.items()):
        batches = batches_by_task.get((step, partition), [])
        offsets_by_digest = {
            batch.digest: batch.next_offset for batch in sorted(batches, key=lambda batch: batch.next_offset)
        }
        offsets_by_digest.setdefault(evidence.empty_digests.get(step), 0)
        unknown = {state.digest for state in states if state.digest not in offsets_by_digest}
        if len(unknown) > (unlogged := _unlogged_records(evidence, batches)):
            description = f"{len(unknown)} states that no batch committed ({unlogged} records in no batch)"
            yield "state-differs", f"{step} restored {description} in partition {partition}"
        for state in states:
            latest = max(
                (batch.next_offset for batch in batches if batch.logged_at <= state.begun_at), default=0
            )
            if offsets_by_digest.get(state.digest, latest) < latest:
                description = f"the state at {offsets_by_digest[state.digest]}, when {latest} was committed"
                yield "state-differs", f"{step} restored {description}, in partition {partition}"


def check_final_state(evidence: Evidence) -> Findings:
    """Check that the changelogs hold the state after the last batch."""
    batches_by_task = _batches_by_task(evidence.batches)
    for (step, partition), digest in sorted(evidence.final_digests.items()):
        batches = batches_by_task.get((step, partition), [])
        last = max(batches, key=lambda batch: batch.next_offset, default=None)
        expected = evidence.empty_digests.get(step) if last is None else last.digest
        if digest != expected and not _unlogged_records(evidence, batches):
            yield "state-differs", f"{step}: changelogs of partition {partition} end with another state"


def _batches_by_task(batches: Sequence[CommittedBatch]) -> Mapping[Task, list[CommittedBatch]]:
    by_task: dict[Task, list[CommittedBatch]] = defaultdict(list)
    for batch in batches:
        if batch.digest is not None:
            by_task[batch.step, batch.partition[1]].append(batch)
    return by_task


def _unlogged_records(evidence: Evidence, batches: Sequence[CommittedBatch]) -> int:
    """Return the number of committed records of a partition that are in none of its logged batches."""
    logged: set[int] = set()
    committed: list[int] = []
    for batch in batches:
        committed = committed or sorted(evidence.committed_records.get(batch.partition, ()))
        end = bisect_left(committed, batch.next_offset)
        logged.update(committed[max(0, end - batch.records) : end])
    return len(committed) - len(logged)


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (check_restored_states, check_final_state)
