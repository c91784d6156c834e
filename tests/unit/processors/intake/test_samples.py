"""Intake's decisions on the faulty sample files, line by line."""

from __future__ import annotations

from processors.intake import IntakeProcessor
from processors.rejections import find_repeats
from tests.samples import SAMPLES
from tests.unit.processors.submissions import csv_batch, key_ring, records_of, rejections

BAD = SAMPLES / "bad" / "juki_131041_bad.csv"


def test_the_faulty_file_is_rejected_line_by_line() -> None:
    """Numbers are the 通番. Lines 7, 11 again, 12 and 14 need the register, so household validates them."""
    result = IntakeProcessor(key_ring()).process([csv_batch(BAD)])
    rejected = {row["origin"]["line"] - 1: row for row in records_of(result, "rejected.juki-cs")}
    assert {line: row["code"] for line, row in rejected.items()} == {
        2: "FORM_MUNICIPALITY",
        3: "FORM_REASON",
        4: "FORM_EFFECTIVE_ON",
        5: "FORM_HOUSEHOLD",
        6: "FORM_CODE",
        8: "FORM_KANA",
        9: "NOT_SUBMITTER",
        10: "COLUMNS",
        14: "EFFECTIVE_LATE",  # 通番 13, because 11 occurs twice
    }
    assert all(row["notice"] and row["reason"] for row in rejected.values())
    assert {row["origin"]["file"] for row in rejected.values()} == {BAD.name}
    accepted = [row["notice"][-2:] for row in records_of(result, "notice")]
    assert accepted == ["01", "07", "11", "11", "11", "14", "15"]


def test_equal_content_has_an_equal_digest() -> None:
    """The second 11 is identical to the first; 12 has its number and another address."""
    result = IntakeProcessor(key_ring()).process([csv_batch(BAD)])
    first, second, other = (row["digest"] for row in records_of(result, "notice")[2:5])
    assert first == second != other


def test_a_repeated_rejection_is_recognized() -> None:
    """Each submission has its own rejection ID, from which the second of a pair is known as a duplicate."""
    first, second = csv_batch(BAD), csv_batch(BAD, first_offset=100)
    rejected = records_of(IntakeProcessor(key_ring()).process([first, second]), "rejected.juki-cs")
    ids = [row["id"] for row in sorted(rejected, key=lambda row: int(row["origin"]["offset"]))]
    assert len(set(ids)) == len(ids) == 18
    assert find_repeats(ids) == [False] * 9 + [True] * 9


def test_a_cp932_file_is_accepted() -> None:
    """Intake validates decoded text like any other."""
    batch = csv_batch(SAMPLES / "bad" / "juki_131041_cp932.csv")
    result = IntakeProcessor(key_ring()).process([batch])
    assert not rejections(result)
    assert len(records_of(result, "notice")) == 1
