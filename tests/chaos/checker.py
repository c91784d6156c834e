"""Holds what is left of a run against the model. Pure; every anomaly is told by kind, with no person in it.

| kind | what was promised and did not hold |
| --- | --- |
| hand-over-lost, hand-over-doubled | what a broker acknowledged is in its topic, once, in its order |
| no-effect, two-effects | every hand-over comes to a notice, a change or a refusal; to one of them |
| torn-case | a case's notice, its opening, its persons' changes and their parts are all there, or none is |
| revision-missing, revision-doubled, revision-out-of-order | per person and domain 1, 2, 3 …, in order |
| not-converted, converted-twice | what a domain is told is what was decided for it, with a record of the disclosure |
| receipt-missing, receipt-unknown, receipt-differs | a receipt for each change; copies are the same |
| row-missing, row-unexpected, row-behind | a store ends as its topic says |
| row-apart-from-offset | rows and the offsets after them become visible together |
| aborted-read | nobody goes on from what was never committed |
| state-differs | state that was restored, and what changelogs hold in the end, is what was committed with a batch |
| open-transaction | in the end no reader of committed records is kept waiting |
| row-went-back, dead-letter, left-over, differs-from-reference, not-recovered | seen on the way, or by others |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos import checks_of_state, checks_of_stores
from tests.chaos.model import Change, Evidence, Origin

#: Of a kind of anomaly so many are told.
EXAMPLES_MAX: Final = 5


@dataclass(frozen=True)
class Anomaly:
    """So many of a kind, and some of them told."""

    kind: str
    count: int
    examples: tuple[str, ...]


def check(evidence: Evidence) -> list[Anomaly]:
    """Everything that doesn't hold; empty where all does."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, told in evidence.found.items():
        found[kind] += told
    for rule in RULES:
        for kind, what in rule(evidence):
            found[kind].append(what)
    return [
        Anomaly(kind, len(told), tuple(told[:EXAMPLES_MAX])) for kind, told in sorted(found.items()) if told
    ]


Findings = Iterator[tuple[str, str]]


def hand_overs(evidence: Evidence) -> Findings:
    """Topics of hand-overs hold what was acknowledged."""
    for topic in sorted({*evidence.submitted, *evidence.taken}):
        sent, there = list(evidence.submitted.get(topic, ())), list(evidence.taken.get(topic, ()))
        if sent == there:
            continue
        missing, more = Counter(sent) - Counter(there), Counter(there) - Counter(sent)
        if missing:
            yield "hand-over-lost", f"{missing.total()} of {topic}"
        if more:
            yield "hand-over-doubled", f"{more.total()} in {topic}"
        if not missing and not more:
            yield "hand-over-doubled", f"{topic} has another order than was acknowledged"


def effects(evidence: Evidence) -> Findings:
    """One outcome for each hand-over: a case, a change of a person alone, or a refusal.

    But where a person has an earlier one in the same topic: fan-out refuses what intake let pass as a copy of that.
    """
    opened = Counter(each.case for each in evidence.opened)
    cases: Counter[Origin] = Counter(each.origin for each in evidence.notices)
    alone = Counter(each.origin for each in evidence.changes if each.case is None)
    refused, later = Counter(evidence.rejected), set(_later_ones(evidence.changes))
    for topic, values in evidence.taken.items():
        for offset in range(len(values)):
            origin = Origin(topic, offset)
            entered = cases[origin] + alone[origin]
            if entered + refused[origin] == 0:
                yield "no-effect", f"{topic}/{offset}"
            elif (
                entered > 1
                or refused[origin] > 1
                or (alone[origin] and refused[origin] and origin not in later)
            ):
                yield "two-effects", f"{topic}/{offset}"
    judged = Counter(each.case for each in evidence.notices)
    turned_down = Counter(each.case for each in evidence.notices if refused[each.origin])
    for case, times in judged.items():
        accepted = times - turned_down[case]
        if accepted != opened[case]:
            kind = "no-effect" if opened[case] < accepted else "two-effects"
            yield kind, f"a notice accepted {accepted} times opened {opened[case]} cases"


def _later_ones(changes: Iterable[Change]) -> Iterator[Origin]:
    """Where changes come from whose person had one by the same topic before."""
    seen: set[tuple[str, str]] = set()
    for each in sorted((each for each in changes if each.case is None), key=lambda each: each.origin):
        if (each.origin.topic, each.person) in seen:
            yield each.origin
        seen.add((each.origin.topic, each.person))


def cases_whole(evidence: Evidence) -> Findings:
    """A case has the persons it says, each once, and a part for each."""
    changes = Counter((each.case, each.person) for each in evidence.changes if each.case)
    parts = Counter((each.case, each.person) for each in evidence.parts)
    persons: Counter[object] = Counter(case for case, _ in changes)
    opened = {each.case: each.persons for each in evidence.opened}
    for case, wanted in opened.items():
        if persons[case] != wanted:
            yield "torn-case", f"{persons[case]} persons of {wanted} have their change"
    for name, counted in (("changes", changes), ("parts", parts)):
        doubled = [times for times in counted.values() if times > 1]
        yield from (("torn-case", f"{times} {name} of one case for one person") for times in doubled)
        strays = [case for case, _ in counted if case not in opened]
        yield from (("torn-case", f"{name} of a case that was never opened") for _ in strays)
    unlike = changes.keys() ^ parts.keys()
    yield from (("torn-case", "a person's change without a part, or a part without it") for _ in unlike)


def revisions(evidence: Evidence) -> Findings:
    """Per person and domain 1, 2, 3 …, in the order of the topic; parts name what was told."""
    named = {(domain, part.person, revision) for part in evidence.parts for domain, revision in part.told}
    told = {(domain, each.person, each.revision) for domain, all_ in evidence.told.items() for each in all_}
    of_cases = {
        (domain, each.person, each.revision)
        for domain, all_ in evidence.told.items()
        for each in all_
        if each.of_case
    }
    for domain, _, revision in sorted(named - told):
        yield "revision-missing", f"{domain}: revision {revision} of a part was never told"
    for domain, _, revision in sorted(of_cases - named):
        yield "torn-case", f"{domain}: revision {revision} is in no part"
    for domain, all_ in evidence.told.items():
        placed = sorted(all_, key=lambda each: (each.partition, each.offset))
        yield from _sequences(domain, [(each.person, each.revision) for each in placed])


def _sequences(domain: str, told: Iterable[tuple[str, int]]) -> Findings:
    of: dict[str, list[int]] = defaultdict(list)
    for owner, revision in told:
        of[owner].append(revision)
    for found in of.values():
        wanted = list(range(1, len(found) + 1))
        if found == wanted:
            continue
        if len(set(found)) < len(found):
            yield "revision-doubled", f"{domain}: {len(found) - len(set(found))} of one person's {len(found)}"
        elif sorted(found) == wanted:
            yield "revision-out-of-order", f"{domain}: one person's {len(found)}"
        else:
            yield "revision-missing", f"{domain}: {len(found)} of one person's {max(found)}"


RULES: Final[Sequence[Callable[[Evidence], Findings]]] = (
    hand_overs,
    effects,
    cases_whole,
    revisions,
    *checks_of_stores.RULES,
    *checks_of_state.RULES,
)
