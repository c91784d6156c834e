"""Compares the evidence of a run with the model. Pure; anomalies are reported by kind, without personal data.

| kind | the promise that was broken |
| --- | --- |
| submission-lost, submission-duplicated | an input topic has each acknowledged submission once, in order |
| no-effect, two-effects | every submission has exactly one effect: a notice, a person's change, or a rejection |
| incomplete-case | a case exists with the changes and dispatch records of all its persons, or not at all |
| revision-missing, revision-duplicated, revision-out-of-order | per person and domain 1, 2, 3 … in order |
| not-converted, converted-twice | each change of a domain is published to it once and disclosed once |
| receipt-missing, receipt-unknown, receipt-differs | each change has its receipt; duplicates are identical |
| row-missing, row-unexpected, row-outdated | a store ends as its topic says |
| row-offset-mismatch | rows and the offsets after them become visible together |
| aborted-read | no step, sink or store continues from a record that was not committed |
| state-differs | restored state, and the changelogs at the end, are the state after a committed batch |
| clock-differs, adoption-differs | days of partitions only grow, nothing is overdue; everybody adopts declarations |
| open-transaction | at the end no open transaction blocks readers of committed records |
| row-went-back, dead-letter, not-processed, differs-from-reference, not-recovered | observed directly during the run |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos import state_checks, store_checks
from tests.chaos.model import BROADCAST, Evidence, Findings, Origin, PersonChangeRecord

EXAMPLES_MAX: Final = 5


@dataclass(frozen=True)
class Anomaly:
    """A kind of anomaly: how often it was found, and at most `EXAMPLES_MAX` descriptions."""

    kind: str
    count: int
    examples: tuple[str, ...]


def check(evidence: Evidence) -> list[Anomaly]:
    """Return every anomaly, sorted by kind; an empty list if all promises were kept."""
    descriptions: dict[str, list[str]] = defaultdict(list)
    for kind, observed in evidence.observed_anomalies.items():
        descriptions[kind] += observed
    for rule in RULES:
        for kind, description in rule(evidence):
            descriptions[kind].append(description)
    return [
        Anomaly(kind, len(of_kind), tuple(of_kind[:EXAMPLES_MAX]))
        for kind, of_kind in sorted(descriptions.items())
        if of_kind
    ]


def check_input_topics(evidence: Evidence) -> Findings:
    """Check that input topics have what brokers acknowledged."""
    for topic in sorted({*evidence.submitted, *evidence.input_records}):
        submitted = list(evidence.submitted.get(topic, ()))
        stored = list(evidence.input_records.get(topic, ()))
        if submitted == stored:
            continue
        lost, duplicated = Counter(submitted) - Counter(stored), Counter(stored) - Counter(submitted)
        if lost:
            yield "submission-lost", f"{lost.total()} of {topic}"
        if duplicated:
            yield "submission-duplicated", f"{duplicated.total()} in {topic}"
        if not lost and not duplicated:
            yield "submission-duplicated", f"{topic} has another order than was acknowledged"


def check_effects(evidence: Evidence) -> Findings:
    """Check that each submission has one effect: a case, a change of one person or of all partitions, or a rejection.

    One combination of two is correct: fan-out rejects what intake let pass as a change. That may be an enrolment or
    account event of a person who already has one in the same topic, or any event of a declared entity.
    """
    notices: Counter[Origin] = Counter(notice.origin for notice in evidence.notices)
    broadcast = Counter(change.origin for change in evidence.person_changes if change.kind in BROADCAST)
    single_changes = Counter(
        change.origin
        for change in evidence.person_changes
        if change.case is None and change.kind not in BROADCAST
    )
    rejected, repeated = Counter(evidence.rejected), set(_repeated_changes(evidence.person_changes))
    for topic, values in evidence.input_records.items():
        for offset in range(len(values)):
            origin = Origin(topic, offset)
            accepted = notices[origin] + single_changes[origin] + (broadcast[origin] > 0)
            if broadcast[origin] not in (0, evidence.partitions):
                kind = "no-effect" if broadcast[origin] < evidence.partitions else "two-effects"
                yield (
                    kind,
                    f"{topic}/{offset} is {broadcast[origin]} times in {evidence.partitions} partitions",
                )
            elif accepted + rejected[origin] == 0:
                yield "no-effect", f"{topic}/{offset}"
            elif (
                accepted > 1
                or rejected[origin] > 1
                or (single_changes[origin] and rejected[origin] and origin not in repeated)
            ):
                yield "two-effects", f"{topic}/{offset}"
    yield from _check_opened_once(evidence, rejected)


def _check_opened_once(evidence: Evidence, rejected: Counter[Origin]) -> Findings:
    opened = Counter(case.case for case in evidence.opened_cases)
    submitted_times = Counter(notice.case for notice in evidence.notices)
    rejected_times = Counter(notice.case for notice in evidence.notices if rejected[notice.origin])
    for case, times in submitted_times.items():
        accepted = times - rejected_times[case]
        if accepted != opened[case]:
            kind = "no-effect" if opened[case] < accepted else "two-effects"
            yield kind, f"a notice accepted {accepted} times opened {opened[case]} cases"


def _repeated_changes(changes: Iterable[PersonChangeRecord]) -> Iterator[Origin]:
    """Yield the origin of each change that fan-out may reject: an event, or its person already had one by the topic."""
    seen: set[tuple[str, str]] = set()
    without_case = [change for change in changes if change.case is None and change.kind not in BROADCAST]
    yield from (change.origin for change in without_case if change.kind == "EVENT")
    for change in sorted(without_case, key=lambda change: change.origin):
        if (change.origin.topic, change.person) in seen:
            yield change.origin
        seen.add((change.origin.topic, change.person))


def check_complete_cases(evidence: Evidence) -> Findings:
    """Check that each opened case has its persons, each with one change and one dispatch record."""
    changes = Counter((change.case, change.person) for change in evidence.person_changes if change.case)
    dispatches = Counter((dispatch.case, dispatch.person) for dispatch in evidence.dispatches)
    persons: Counter[object] = Counter(case for case, _ in changes)
    opened = {case.case: case.persons for case in evidence.opened_cases}
    for case, expected in opened.items():
        if persons[case] != expected:
            yield "incomplete-case", f"{persons[case]} persons of {expected} have a change"
    for name, counts in (("changes", changes), ("dispatch records", dispatches)):
        for times in (times for times in counts.values() if times > 1):
            yield "incomplete-case", f"{times} {name} of one case for one person"
        for _ in (case for case, _ in counts if case not in opened):
            yield "incomplete-case", f"{name} of a case that was never opened"
    for _ in changes.keys() ^ dispatches.keys():
        yield "incomplete-case", "a person's change without a dispatch record, or the reverse"


def check_revisions(evidence: Evidence) -> Findings:
    """Check that revisions are complete and in order, and that dispatch records name exactly the published changes."""
    dispatched = {
        (domain, dispatch.person, revision)
        for dispatch in evidence.dispatches
        for domain, revision in dispatch.changes
    }
    published = {
        (domain, change.person, change.revision)
        for domain, changes in evidence.changes.items()
        for change in changes
    }
    of_cases = {
        (domain, change.person, change.revision)
        for domain, changes in evidence.changes.items()
        for change in changes
        if change.of_case
    }
    for domain, _, revision in sorted(dispatched - published):
        yield "revision-missing", f"{domain}: dispatched revision {revision} was never published"
    for domain, _, revision in sorted(of_cases - dispatched):
        yield "incomplete-case", f"{domain}: revision {revision} is in no dispatch record"
    for domain, changes in evidence.changes.items():
        ordered = sorted(changes, key=lambda change: (change.partition, change.offset))
        yield from _check_sequences(domain, [(change.person, change.revision) for change in ordered])


def _check_sequences(domain: str, revisions: Iterable[tuple[str, int]]) -> Findings:
    by_person: dict[str, list[int]] = defaultdict(list)
    for person, revision in revisions:
        by_person[person].append(revision)
    for published in by_person.values():
        expected = list(range(1, len(published) + 1))
        if published == expected:
            continue
        if len(set(published)) < len(published):
            duplicates = len(published) - len(set(published))
            yield "revision-duplicated", f"{domain}: {duplicates} of one person's {len(published)}"
        elif sorted(published) == expected:
            yield "revision-out-of-order", f"{domain}: one person's {len(published)}"
        else:
            yield "revision-missing", f"{domain}: {len(published)} of one person's {max(published)}"


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (
    check_input_topics,
    check_effects,
    check_complete_cases,
    check_revisions,
    *store_checks.RULES,
    *state_checks.RULES,
)
