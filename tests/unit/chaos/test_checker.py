"""The checker on constructed evidence: it finds nothing in a correct run, and each anomaly where one is injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import check
from tests.chaos.model import (
    CaseOpenedRecord,
    ChangeRecord,
    CommittedBatch,
    ConvertedReceiptRecord,
    DispatchRecord,
    Evidence,
    NoticeRecord,
    Origin,
    PersonChangeRecord,
    ReceiptRecord,
    RestoredState,
)
from tests.chaos.store_watch import ObservedStore, RowKey, StoreSnapshot
from tests.unit.chaos.sample_evidence import (
    CASE,
    ENROLMENTS_TOPIC,
    NOTICES_TOPIC,
    ROW_A,
    ROW_B,
    correct_evidence,
)

PENSION = "pension"
#: Returns the fields of the evidence that an anomaly changes.
Corruption = Callable[[Evidence], dict[str, Any]]


def kinds(evidence: Evidence) -> set[str]:
    """Return the kinds of anomalies that the checker finds."""
    return {anomaly.kind for anomaly in check(evidence)}


def test_nothing_is_found_in_a_correct_run() -> None:
    """A receipt that was relayed twice is no anomaly either."""
    evidence = correct_evidence()
    assert check(evidence) == []
    receipts = [*evidence.receipts[PENSION], evidence.receipts[PENSION][0]]
    converted = [*evidence.converted_receipts, evidence.converted_receipts[0]]
    assert check(replace(evidence, receipts={PENSION: receipts}, converted_receipts=converted)) == []


def test_a_day_reaches_every_partition_once() -> None:
    """Then it is one effect; with fewer records it is lost for a partition, with more it came twice."""
    evidence, day = correct_evidence(), Origin("in.clock", 0)

    def with_records(number: int) -> set[str]:
        records = [PersonChangeRecord(day, "", None, "DAY_BEGUN")] * number
        topics = {"submitted": evidence.submitted, "input_records": evidence.input_records}
        more: dict[str, Any] = {name: {**of_topic, "in.clock": [b"4"]} for name, of_topic in topics.items()}
        return kinds(
            replace(evidence, person_changes=[*evidence.person_changes, *records], partitions=3, **more)
        )

    assert [with_records(number) for number in (3, 2, 4)] == [set(), {"no-effect"}, {"two-effects"}]


def test_fan_out_may_reject_any_event_of_an_entity() -> None:
    """Intake let it pass as a change; an enrolment that isn't repeated may not be rejected as well."""
    evidence, origin = correct_evidence(), Origin(ENROLMENTS_TOPIC, 0)

    def rejected(kind: str) -> set[str]:
        changes = [
            change._replace(kind=kind) if change.origin == origin else change
            for change in evidence.person_changes
        ]
        return kinds(replace(evidence, person_changes=changes, rejected=[*evidence.rejected, origin]))

    assert rejected("EVENT") == set()
    assert rejected("ENROLMENT") == {"two-effects"}


def test_the_state_of_an_unlogged_batch_is_correct() -> None:
    """A worker may be killed between a commit and its log line, or paused and log the batch later."""
    evidence = correct_evidence()
    restored = [RestoredState("household", 0, 13.0, "two")]
    unlogged = replace(evidence, batches=evidence.batches[:1], restored=restored)
    assert check(unlogged) == []
    logged_later = [evidence.batches[0], evidence.batches[1]._replace(logged_at=20.0)]
    assert check(replace(evidence, batches=logged_later, restored=restored)) == []


CORRUPTIONS: dict[str, tuple[str, Corruption]] = {
    "a submission is lost": (
        "submission-lost",
        lambda e: {"input_records": {**e.input_records, NOTICES_TOPIC: [b"1"]}},
    ),
    "a submission is in its topic twice": (
        "submission-duplicated",
        lambda e: {"input_records": {**e.input_records, NOTICES_TOPIC: [b"1", b"1", b"2"]}},
    ),
    "two submissions are swapped": (
        "submission-duplicated",
        lambda e: {"input_records": {**e.input_records, NOTICES_TOPIC: [b"2", b"1"]}},
    ),
    "a submission has no effect": ("no-effect", lambda e: {"person_changes": e.person_changes[:2]}),
    "an accepted notice opened no case": ("no-effect", lambda e: {"rejected": []}),
    "a submission became two notices": (
        "two-effects",
        lambda e: {"notices": [*e.notices, e.notices[0]]},
    ),
    "a case was opened twice": (
        "two-effects",
        lambda e: {"opened_cases": [*e.opened_cases, e.opened_cases[0]]},
    ),
    "an enrolment was accepted and rejected": (
        "two-effects",
        lambda e: {"rejected": [*e.rejected, Origin(ENROLMENTS_TOPIC, 0)]},
    ),
    "one person of a case has no change": (
        "incomplete-case",
        lambda e: {"person_changes": [e.person_changes[0], e.person_changes[2]]},
    ),
    "one person of a case has no dispatch record": (
        "incomplete-case",
        lambda e: {"dispatches": e.dispatches[:1]},
    ),
    "a dispatch record is duplicated": (
        "incomplete-case",
        lambda e: {"dispatches": [*e.dispatches, e.dispatches[0]]},
    ),
    "a change belongs to a case that was never opened": (
        "incomplete-case",
        lambda e: {
            "person_changes": [
                *e.person_changes,
                PersonChangeRecord(Origin(NOTICES_TOPIC, 0), "a", ("131041", "n9")),
            ]
        },
    ),
    "a dispatch record names a change that was never published": (
        "revision-missing",
        lambda e: {"dispatches": [DispatchRecord(CASE, "a", [(PENSION, 1), (PENSION, 9)]), e.dispatches[1]]},
    ),
    "a change of a case is in no dispatch record": (
        "incomplete-case",
        lambda e: {"dispatches": [DispatchRecord(CASE, "a", []), e.dispatches[1]]},
    ),
    "a revision is missing": (
        "revision-missing",
        lambda e: {"changes": {PENSION: e.changes[PENSION][1:]}},
    ),
    "a revision is duplicated": (
        "revision-duplicated",
        lambda e: {"changes": {PENSION: [*e.changes[PENSION], ChangeRecord("a", 2, False, 0, 5)]}},
    ),
    "two revisions are swapped": (
        "revision-out-of-order",
        lambda e: {
            "changes": {
                PENSION: [
                    ChangeRecord("a", 2, False, 0, 0),
                    e.changes[PENSION][1],
                    ChangeRecord("a", 1, True, 0, 2),
                ]
            }
        },
    ),
    "a change was not converted": (
        "not-converted",
        lambda e: {"domain_records": {PENSION: e.domain_records[PENSION][:2]}},
    ),
    "a change was converted twice": (
        "converted-twice",
        lambda e: {"domain_records": {PENSION: [*e.domain_records[PENSION], e.domain_records[PENSION][0]]}},
    ),
    "a disclosure was not recorded": (
        "not-converted",
        lambda e: {"disclosures": {PENSION: e.disclosures[PENSION][:2]}},
    ),
    "a receipt is missing": (
        "receipt-missing",
        lambda e: {"receipts": {PENSION: e.receipts[PENSION][1:]}},
    ),
    "a receipt has no change": (
        "receipt-unknown",
        lambda e: {"receipts": {PENSION: [*e.receipts[PENSION], ReceiptRecord("code-a.PERSON..9", 7)]}},
    ),
    "duplicates of a receipt differ": (
        "receipt-differs",
        lambda e: {"receipts": {PENSION: [*e.receipts[PENSION], ReceiptRecord("code-a.PERSON..1", 8)]}},
    ),
    "a receipt was not converted": (
        "receipt-missing",
        lambda e: {"converted_receipts": e.converted_receipts[1:]},
    ),
    "a converted receipt is of an unknown person": (
        "receipt-unknown",
        lambda e: {"converted_receipts": [*e.converted_receipts, ConvertedReceiptRecord(PENSION, "c", 1, 7)]},
    ),
    "a receipt was converted more often than it was relayed": (
        "receipt-unknown",
        lambda e: {"converted_receipts": [*e.converted_receipts, e.converted_receipts[0]]},
    ),
    "a row appeared that no committed record has": (
        "aborted-read",
        lambda e: {"snapshots": [StoreSnapshot(PENSION, {ROW_A: 7}, {0: 9, 1: 0})]},
    ),
    "a restored state was never committed": (
        "state-differs",
        lambda e: {"restored": [*e.restored, RestoredState("household", 0, 11.0, "half")]},
    ),
    "a restored state is outdated": (
        "state-differs",
        lambda e: {"restored": [*e.restored, RestoredState("household", 0, 13.0, "one")]},
    ),
    "a restored state is empty": (
        "state-differs",
        lambda e: {"restored": [*e.restored, RestoredState("household", 0, 13.0, "empty")]},
    ),
    "changelogs end with another state": (
        "state-differs",
        lambda e: {"final_digests": {("household", 0): "half"}},
    ),
    "a row is missing": ("row-missing", lambda e: {"rows": {ROW_A: 2}}),
    "a row has no record": (
        "row-unexpected",
        lambda e: {"rows": {**e.rows, RowKey(PENSION, "PERSON", "c", ""): 1}},
    ),
    "a row is outdated": ("row-outdated", lambda e: {"rows": {ROW_A: 1, ROW_B: 1}}),
    "a row appeared before its offset": (
        "row-offset-mismatch",
        lambda e: {"snapshots": [StoreSnapshot(PENSION, {ROW_A: 1}, {0: 0, 1: 0})]},
    ),
    "an offset appeared before its row": (
        "row-offset-mismatch",
        lambda e: {"snapshots": [StoreSnapshot(PENSION, {}, {0: 1, 1: 0})]},
    ),
    "a batch ended at an aborted record": (
        "aborted-read",
        lambda e: {"batches": [*e.batches, CommittedBatch("household", ("notice", 0), 5)]},
    ),
    "a batch ended at an offset without a record": (
        "aborted-read",
        lambda e: {"batches": [*e.batches, CommittedBatch("household", ("notice", 0), 4)]},
    ),
}


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_each_anomaly_is_found_under_its_kind(name: str) -> None:
    """A corruption of correct evidence is reported under the expected kind."""
    kind, corrupt = CORRUPTIONS[name]
    evidence = correct_evidence()
    assert kind in kinds(replace(evidence, **corrupt(evidence)))


def test_observed_anomalies_are_reported_with_their_count() -> None:
    """At most five of them are given as examples; a kind without any is not reported."""
    observed = {"dead-letter": [f"{number}" for number in range(9)], "not-processed": []}
    (anomaly,) = check(replace(correct_evidence(), observed_anomalies=observed))
    assert (anomaly.kind, anomaly.count, len(anomaly.examples)) == ("dead-letter", 9, 5)


def test_a_notice_number_rejected_once_and_accepted_once_is_correct() -> None:
    """A notice number whose first submission was rejected may be submitted again."""
    evidence = correct_evidence()
    swapped = [NoticeRecord(Origin(NOTICES_TOPIC, 1), CASE), NoticeRecord(Origin(NOTICES_TOPIC, 0), CASE)]
    assert check(replace(evidence, notices=swapped)) == []
    of_another_case = [CaseOpenedRecord(("131041", "n2"), 2)]
    assert "no-effect" in kinds(replace(evidence, opened_cases=of_another_case))


def test_an_enrolment_repeated_in_a_file_may_be_rejected_as_a_duplicate() -> None:
    """Fan-out rejects it, because it knows the person's enrolments; it may not reject the first one."""
    evidence = correct_evidence()
    first, repeated = Origin(ENROLMENTS_TOPIC, 0), Origin(ENROLMENTS_TOPIC, 1)
    assert PersonChangeRecord(first, "a", None) in evidence.person_changes
    with_repeated = replace(
        evidence,
        submitted={**evidence.submitted, ENROLMENTS_TOPIC: [*evidence.submitted[ENROLMENTS_TOPIC], b"again"]},
        input_records={
            **evidence.input_records,
            ENROLMENTS_TOPIC: [*evidence.input_records[ENROLMENTS_TOPIC], b"again"],
        },
        person_changes=[*evidence.person_changes, PersonChangeRecord(repeated, "a", None)],
    )
    assert check(replace(with_repeated, rejected=[*evidence.rejected, repeated])) == []
    assert "two-effects" in kinds(replace(with_repeated, rejected=[*evidence.rejected, first]))


def test_a_row_that_goes_back_is_reported() -> None:
    """A row may not return to an older revision, reappear after its deletion, or disappear without a deletion."""
    store = ObservedStore(PENSION)
    store.observe({ROW_A: 1, ROW_B: 1}, {}, {"PERSON": 2})
    assert store.observe({ROW_A: 3, ROW_B: 1}, {}, {"PERSON": 2}) == {ROW_A: 3}
    store.observe({}, {ROW_B: 2}, {"PERSON": 1})
    assert store.anomalies == []
    store.observe({ROW_A: 2}, {}, {"PERSON": 1})
    assert store.anomalies == ["pension: a row of PERSON went back to revision 2"]
    store.observe({ROW_B: 1}, {}, {"PERSON": 2})
    assert len(store.anomalies) == 2
    store.observe({}, {}, {"PERSON": 1})
    assert store.anomalies[2:] == ["pension: 1 rows of PERSON, expected 2"]
