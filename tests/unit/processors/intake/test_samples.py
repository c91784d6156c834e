"""The faulty files of the samples, line by line, for what intake decides."""

from __future__ import annotations

from processors.intake import IntakeProcessor
from processors.rejections import find_repeats
from tests.samples import SAMPLES
from tests.unit.processors.submissions import csv_batch, key_ring, refusals, rows_of

BAD = SAMPLES / "bad" / "juki_131041_bad.csv"


def test_the_bad_file_is_refused_line_by_line() -> None:
    """Numbers are the 通番; what only the register's list can tell (7, 11 again, 12, 14) goes on to household."""
    result = IntakeProcessor(key_ring()).process([csv_batch(BAD)])
    refused = {each["origin"]["line"] - 1: each for each in rows_of(result, "rejected.juki-cs")}
    assert {line: each["code"] for line, each in refused.items()} == {
        2: "FORM_MUNICIPALITY",
        3: "FORM_REASON",
        4: "FORM_EFFECTIVE_ON",
        5: "FORM_HOUSEHOLD",
        6: "FORM_CODE",
        8: "FORM_KANA",
        9: "NOT_SUBMITTER",
        10: "COLUMNS",
        14: "EFFECTIVE_LATE",  # 通番 13: the 11 before it stands twice
    }
    assert all(each["notice"] and each["reason"] for each in refused.values())
    assert {each["origin"]["file"] for each in refused.values()} == {BAD.name}
    accepted = [each["notice"][-2:] for each in rows_of(result, "notice")]
    assert accepted == ["01", "07", "11", "11", "11", "14", "15"]


def test_the_same_hand_over_has_one_digest_and_another_content_another() -> None:
    """The second 11 is identical; 12 has its number and another address."""
    result = IntakeProcessor(key_ring()).process([csv_batch(BAD)])
    first, again, other = (each["digest"] for each in rows_of(result, "notice")[2:5])
    assert first == again != other


def test_what_is_refused_twice_is_seen_to_be() -> None:
    """Each hand-over has an entry of its own, and the second of a pair is told to be a duplicate."""
    first, second = csv_batch(BAD), csv_batch(BAD, first_offset=100)
    refused = rows_of(IntakeProcessor(key_ring()).process([first, second]), "rejected.juki-cs")
    ids = [each["id"] for each in sorted(refused, key=lambda each: int(each["origin"]["offset"]))]
    assert len(set(ids)) == len(ids) == 18
    assert find_repeats(ids) == [False] * 9 + [True] * 9


def test_a_file_in_cp932_is_as_good() -> None:
    """What the source has decoded is judged like any other."""
    batch = csv_batch(SAMPLES / "bad" / "juki_131041_cp932.csv", "cp932")
    result = IntakeProcessor(key_ring()).process([batch])
    assert not refusals(result)
    assert len(rows_of(result, "notice")) == 1
