"""The evidence of a small run without anomalies; tests of the checker change it in one point each."""

from __future__ import annotations

from tests.chaos.model import (
    CaseOpenedRecord,
    ChangeRecord,
    CommittedBatch,
    ConvertedReceiptRecord,
    DispatchRecord,
    DomainRecord,
    Evidence,
    NoticeRecord,
    Origin,
    PersonChangeRecord,
    ReceiptRecord,
    RestoredState,
)
from tests.chaos.store_watch import RowKey, StoreSnapshot

NOTICES_TOPIC = "in.juki.131041"
ENROLMENTS_TOPIC = "in.pension"
CASE = ("131041", "n1")
ROW_A, ROW_B = RowKey("pension", "PERSON", "code-a", ""), RowKey("pension", "PERSON", "code-b", "")


def correct_evidence() -> Evidence:
    """Return the evidence of two notices, the second rejected, and an enrolment; two persons, one domain."""
    changes = [
        ChangeRecord("a", 1, True, 0, 0),
        ChangeRecord("b", 1, True, 1, 0),
        ChangeRecord("a", 2, False, 0, 2),
    ]
    domain_records = [
        DomainRecord(ROW_A, 1, False, 0, 0, "code-a.PERSON..1"),
        DomainRecord(ROW_B, 1, False, 1, 0, "code-b.PERSON..1"),
        DomainRecord(ROW_A, 2, False, 0, 2, "code-a.PERSON..2"),
    ]
    return Evidence(
        submitted={NOTICES_TOPIC: [b"1", b"2"], ENROLMENTS_TOPIC: [b"3"]},
        input_records={NOTICES_TOPIC: [b"1", b"2"], ENROLMENTS_TOPIC: [b"3"]},
        notices=[NoticeRecord(Origin(NOTICES_TOPIC, 0), CASE), NoticeRecord(Origin(NOTICES_TOPIC, 1), CASE)],
        person_changes=[
            PersonChangeRecord(Origin(NOTICES_TOPIC, 0), "a", CASE),
            PersonChangeRecord(Origin(NOTICES_TOPIC, 0), "b", CASE),
            PersonChangeRecord(Origin(ENROLMENTS_TOPIC, 0), "a", None),
        ],
        rejected=[Origin(NOTICES_TOPIC, 1)],
        opened_cases=[CaseOpenedRecord(CASE, 2)],
        dispatches=[DispatchRecord(CASE, "a", [("pension", 1)]), DispatchRecord(CASE, "b", [("pension", 1)])],
        changes={"pension": changes},
        domain_records={"pension": domain_records},
        codes={"pension": {"a": "code-a", "b": "code-b"}},
        disclosures={"pension": [("code-a", 1), ("code-b", 1), ("code-a", 2)]},
        receipts={"pension": [ReceiptRecord(record.receipt, 7) for record in domain_records]},
        converted_receipts=[
            ConvertedReceiptRecord("pension", change.person, change.revision, 7) for change in changes
        ],
        rows={ROW_A: 2, ROW_B: 1},
        committed_records={("notice", 0): frozenset({0, 2})},
        aborted_records={("notice", 0): frozenset({4})},
        batches=[
            CommittedBatch("household", ("notice", 0), 1, 10.0, 1, "one"),
            CommittedBatch("household", ("notice", 0), 3, 12.0, 1, "two"),
        ],
        restored=[
            RestoredState("household", 0, 5.0, "empty"),
            RestoredState("household", 0, 11.0, "one"),
        ],
        final_digests={("household", 0): "two"},
        empty_digests={"household": "empty"},
        snapshots=[
            StoreSnapshot("pension", {ROW_A: 1}, {0: 1, 1: 0}),
            StoreSnapshot("pension", {ROW_A: 2, ROW_B: 1}, {0: 3, 1: 1}),
        ],
    )
