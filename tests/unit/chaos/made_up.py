"""A small history that is as it must be; tests of the checker break it in one place each."""

from __future__ import annotations

from tests.chaos.model import (
    Change,
    ChangeRecord,
    CommittedBatch,
    Converted,
    DispatchRecord,
    DomainRecord,
    Evidence,
    Notice,
    Opened,
    Origin,
    Receipt,
    Restored,
)
from tests.chaos.store_watch import RowKey, StoreSnapshot

IN = "in.juki.131041"
ENROLLED = "in.pension"
CASE = ("131041", "n1")
ROW_A, ROW_B = RowKey("pension", "PERSON", "code-a", ""), RowKey("pension", "PERSON", "code-b", "")


def right() -> Evidence:
    """Two notices, of which the second is refused, and an enrolment; two persons, one domain; all went well."""
    told = [
        ChangeRecord("a", 1, True, 0, 0),
        ChangeRecord("b", 1, True, 1, 0),
        ChangeRecord("a", 2, False, 0, 2),
    ]
    given = [
        DomainRecord(ROW_A, 1, False, 0, 0, "code-a.PERSON..1"),
        DomainRecord(ROW_B, 1, False, 1, 0, "code-b.PERSON..1"),
        DomainRecord(ROW_A, 2, False, 0, 2, "code-a.PERSON..2"),
    ]
    return Evidence(
        submitted={IN: [b"1", b"2"], ENROLLED: [b"3"]},
        taken={IN: [b"1", b"2"], ENROLLED: [b"3"]},
        notices=[Notice(Origin(IN, 0), CASE), Notice(Origin(IN, 1), CASE)],
        changes=[
            Change(Origin(IN, 0), "a", CASE),
            Change(Origin(IN, 0), "b", CASE),
            Change(Origin(ENROLLED, 0), "a", None),
        ],
        rejected=[Origin(IN, 1)],
        opened=[Opened(CASE, 2)],
        parts=[DispatchRecord(CASE, "a", [("pension", 1)]), DispatchRecord(CASE, "b", [("pension", 1)])],
        told={"pension": told},
        given={"pension": given},
        codes={"pension": {"a": "code-a", "b": "code-b"}},
        disclosed={"pension": [("code-a", 1), ("code-b", 1), ("code-a", 2)]},
        receipts={"pension": [Receipt(each.receipt, 7) for each in given]},
        converted=[Converted("pension", each.person, each.revision, 7) for each in told],
        rows={ROW_A: 2, ROW_B: 1},
        committed={("notice", 0): frozenset({0, 2})},
        aborted={("notice", 0): frozenset({4})},
        batches=[
            CommittedBatch("household", ("notice", 0), 1, 10.0, 1, "one"),
            CommittedBatch("household", ("notice", 0), 3, 12.0, 1, "two"),
        ],
        restored=[Restored("household", 0, 5.0, "empty"), Restored("household", 0, 11.0, "one")],
        states={("household", 0): "two"},
        nothing={"household": "empty"},
        looks=[
            StoreSnapshot("pension", {ROW_A: 1}, {0: 1, 1: 0}),
            StoreSnapshot("pension", {ROW_A: 2, ROW_B: 1}, {0: 3, 1: 1}),
        ],
    )
