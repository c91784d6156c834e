"""The checker on made-up histories: nothing is found where all is right, and each anomaly where it is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import check
from tests.chaos.model import (
    Change,
    ChangeRecord,
    CommittedBatch,
    Converted,
    DispatchRecord,
    Evidence,
    Notice,
    Opened,
    Origin,
    Receipt,
    Restored,
)
from tests.chaos.store_watch import RowKey, Seen, StoreSnapshot
from tests.unit.chaos.made_up import CASE, ENROLLED, IN, ROW_A, ROW_B, right

PENSION = "pension"
Broken = Callable[[Evidence], dict[str, Any]]


def kinds(evidence: Evidence) -> set[str]:
    return {each.kind for each in check(evidence)}


def test_nothing_is_found_where_all_is_right() -> None:
    """Nor where a receipt was relayed twice, which is harmless."""
    evidence = right()
    assert check(evidence) == []
    twice = [*evidence.receipts[PENSION], evidence.receipts[PENSION][0]]
    again = [*evidence.converted, evidence.converted[0]]
    assert check(replace(evidence, receipts={PENSION: twice}, converted=again)) == []


def test_a_state_of_a_batch_that_nobody_told_of_is_right() -> None:
    """Its worker was killed between the commit and the word of it; and one that was paused tells of it later."""
    evidence = right()
    silent = replace(evidence, batches=evidence.batches[:1], restored=[Restored("household", 0, 13.0, "two")])
    assert check(silent) == []
    late = [evidence.batches[0], evidence.batches[1]._replace(at=20.0)]
    assert check(replace(evidence, batches=late, restored=[Restored("household", 0, 13.0, "two")])) == []


BREAKS: dict[str, tuple[str, Broken]] = {
    "a hand-over is lost": ("hand-over-lost", lambda e: {"taken": {**e.taken, IN: [b"1"]}}),
    "a hand-over stands twice": (
        "hand-over-doubled",
        lambda e: {"taken": {**e.taken, IN: [b"1", b"1", b"2"]}},
    ),
    "two hand-overs changed places": (
        "hand-over-doubled",
        lambda e: {"taken": {**e.taken, IN: [b"2", b"1"]}},
    ),
    "a hand-over came to nothing": ("no-effect", lambda e: {"changes": e.changes[:2]}),
    "an accepted notice opened no case": ("no-effect", lambda e: {"rejected": []}),
    "a hand-over came to two notices": ("two-effects", lambda e: {"notices": [*e.notices, e.notices[0]]}),
    "a case was opened twice": ("two-effects", lambda e: {"opened": [*e.opened, e.opened[0]]}),
    "an enrolment took effect and was refused": (
        "two-effects",
        lambda e: {"rejected": [*e.rejected, Origin(ENROLLED, 0)]},
    ),
    "one person of a case has no change": ("torn-case", lambda e: {"changes": [e.changes[0], e.changes[2]]}),
    "one person of a case has no part": ("torn-case", lambda e: {"parts": e.parts[:1]}),
    "a part stands twice": ("torn-case", lambda e: {"parts": [*e.parts, e.parts[0]]}),
    "changes of a case that nobody opened": (
        "torn-case",
        lambda e: {"changes": [*e.changes, Change(Origin(IN, 0), "a", ("131041", "n9"))]},
    ),
    "a part names what was never told": (
        "revision-missing",
        lambda e: {"parts": [DispatchRecord(CASE, "a", [(PENSION, 1), (PENSION, 9)]), e.parts[1]]},
    ),
    "a change of a case is in no part": (
        "torn-case",
        lambda e: {"parts": [DispatchRecord(CASE, "a", []), e.parts[1]]},
    ),
    "a revision is missing": ("revision-missing", lambda e: {"told": {PENSION: e.told[PENSION][1:]}}),
    "a revision stands twice": (
        "revision-doubled",
        lambda e: {"told": {PENSION: [*e.told[PENSION], ChangeRecord("a", 2, False, 0, 5)]}},
    ),
    "revisions changed places": (
        "revision-out-of-order",
        lambda e: {
            "told": {
                PENSION: [
                    ChangeRecord("a", 2, False, 0, 0),
                    e.told[PENSION][1],
                    ChangeRecord("a", 1, True, 0, 2),
                ]
            }
        },
    ),
    "a change was not converted": ("not-converted", lambda e: {"given": {PENSION: e.given[PENSION][:2]}}),
    "a change was converted twice": (
        "converted-twice",
        lambda e: {"given": {PENSION: [*e.given[PENSION], e.given[PENSION][0]]}},
    ),
    "a disclosure left no record": (
        "not-converted",
        lambda e: {"disclosed": {PENSION: e.disclosed[PENSION][:2]}},
    ),
    "a receipt is missing": ("receipt-missing", lambda e: {"receipts": {PENSION: e.receipts[PENSION][1:]}}),
    "a receipt of nothing": (
        "receipt-unknown",
        lambda e: {"receipts": {PENSION: [*e.receipts[PENSION], Receipt("code-a.PERSON..9", 7)]}},
    ),
    "copies of a receipt differ": (
        "receipt-differs",
        lambda e: {"receipts": {PENSION: [*e.receipts[PENSION], Receipt("code-a.PERSON..1", 8)]}},
    ),
    "a receipt never came back": ("receipt-missing", lambda e: {"converted": e.converted[1:]}),
    "a receipt came back for nobody": (
        "receipt-unknown",
        lambda e: {"converted": [*e.converted, Converted(PENSION, "c", 1, 7)]},
    ),
    "a receipt came back once more than it was sent": (
        "receipt-unknown",
        lambda e: {"converted": [*e.converted, e.converted[0]]},
    ),
    "a row of what was never committed was there": (
        "aborted-read",
        lambda e: {"looks": [StoreSnapshot(PENSION, {ROW_A: 7}, {0: 9, 1: 0})]},
    ),
    "a state was restored that nobody had": (
        "state-differs",
        lambda e: {"restored": [*e.restored, Restored("household", 0, 11.0, "half")]},
    ),
    "a state was restored that was no longer so": (
        "state-differs",
        lambda e: {"restored": [*e.restored, Restored("household", 0, 13.0, "one")]},
    ),
    "a state was lost as a whole": (
        "state-differs",
        lambda e: {"restored": [*e.restored, Restored("household", 0, 13.0, "empty")]},
    ),
    "changelogs hold another state in the end": (
        "state-differs",
        lambda e: {"states": {("household", 0): "half"}},
    ),
    "a row is missing": ("row-missing", lambda e: {"rows": {ROW_A: 2}}),
    "a row of nobody": (
        "row-unexpected",
        lambda e: {"rows": {**e.rows, RowKey(PENSION, "PERSON", "c", ""): 1}},
    ),
    "a row is behind": ("row-behind", lambda e: {"rows": {ROW_A: 1, ROW_B: 1}}),
    "a row was there before its offset": (
        "row-apart-from-offset",
        lambda e: {"looks": [StoreSnapshot(PENSION, {ROW_A: 1}, {0: 0, 1: 0})]},
    ),
    "an offset was there before its row": (
        "row-apart-from-offset",
        lambda e: {"looks": [StoreSnapshot(PENSION, {}, {0: 1, 1: 0})]},
    ),
    "a batch ended at an aborted record": (
        "aborted-read",
        lambda e: {"batches": [*e.batches, CommittedBatch("household", ("notice", 0), 5)]},
    ),
    "a batch ended where no record is": (
        "aborted-read",
        lambda e: {"batches": [*e.batches, CommittedBatch("household", ("notice", 0), 4)]},
    ),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_each_anomaly_is_found(name: str) -> None:
    """And called by its name."""
    kind, broken = BREAKS[name]
    evidence = right()
    assert kind in kinds(replace(evidence, **broken(evidence)))


def test_what_others_saw_counts() -> None:
    """With how many there were, and some of them told."""
    (found,) = check(
        replace(right(), found={"dead-letter": [f"{number}" for number in range(9)], "left-over": []})
    )
    assert (found.kind, found.count, len(found.examples)) == ("dead-letter", 9, 5)


def test_a_notice_judged_twice_and_accepted_once_is_right() -> None:
    """A number whose first notice was refused can be handed over again."""
    evidence = right()
    swapped = [Notice(Origin(IN, 1), CASE), Notice(Origin(IN, 0), CASE)]
    assert check(replace(evidence, notices=swapped)) == []
    assert "no-effect" in kinds(replace(evidence, opened=[Opened(("131041", "n2"), 2)]))


def test_an_enrolment_that_a_file_has_twice_may_be_refused_as_a_copy() -> None:
    """By fan-out, which knows what the person has; the first may not be."""
    evidence = right()
    first, later = Origin(ENROLLED, 0), Origin(ENROLLED, 1)
    assert Change(first, "a", None) in evidence.changes
    twice = replace(
        evidence,
        submitted={**evidence.submitted, ENROLLED: [*evidence.submitted[ENROLLED], b"again"]},
        taken={**evidence.taken, ENROLLED: [*evidence.taken[ENROLLED], b"again"]},
        changes=[*evidence.changes, Change(later, "a", None)],
    )
    assert check(replace(twice, rejected=[*evidence.rejected, later])) == []
    assert "two-effects" in kinds(replace(twice, rejected=[*evidence.rejected, first]))


def test_a_row_that_goes_back_is_seen() -> None:
    """To an older revision, back from the deleted, or away without a word; what goes on is fine."""
    seen = Seen(PENSION)
    seen.note({ROW_A: 1, ROW_B: 1}, {}, {"PERSON": 2})
    assert seen.note({ROW_A: 3, ROW_B: 1}, {}, {"PERSON": 2}) == {ROW_A: 3}
    seen.note({}, {ROW_B: 2}, {"PERSON": 1})
    assert seen.wrong == []
    seen.note({ROW_A: 2}, {}, {"PERSON": 1})
    assert seen.wrong == ["pension: a row of PERSON went back to revision 2"]
    seen.note({ROW_B: 1}, {}, {"PERSON": 2})
    assert len(seen.wrong) == 2
    seen.note({}, {}, {"PERSON": 1})
    assert seen.wrong[2:] == ["pension: 1 rows of PERSON, where 2 were seen"]
