"""Notices in intake: the first error decides, and only fields that the reason changes are published."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from processors.intake.csv_notices import COLUMNS
from schemas.reasons import FIELDS_BY_REASON, JAPANESE, Reason
from tests.unit.processors.submissions import (
    csv_notices,
    csv_row,
    json_notice,
    json_notices,
    json_person,
    key_ring,
    records_of,
    rejections,
)

INTAKE = IntakeProcessor(key_ring())
NUMBER = "13104-900011"

INVALID_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"number": "1a"}, "FORM_NUMBER"),
    ({"number": "", "reason": "引越"}, "FORM_NUMBER"),
    ({"municipality": "131042", "reason": "引越"}, "FORM_MUNICIPALITY"),
    ({"effective_on": "2026-3-3"}, "FORM_EFFECTIVE_ON"),
    ({"recorded_on": "2026-02-29"}, "FORM_RECORDED_ON"),
    ({"household": ""}, "FORM_HOUSEHOLD"),
    ({"local_number": "131"}, "FORM_LOCAL_NUMBER"),
    ({"code": "4299000001X"}, "FORM_CODE"),
    ({"name": "　"}, "FORM_NAME"),
    ({"name": "試" * 101}, "FORM_NAME"),
    ({"kana": "シケン イチロウ"}, "FORM_KANA"),
    ({"birth_date": "1980-05-32"}, "FORM_BIRTH_DATE"),
    ({"sex": "M"}, "FORM_SEX"),
    ({"relationship": ""}, "FORM_RELATIONSHIP"),
    ({"address": "東京都\t新宿区"}, "FORM_ADDRESS"),
    ({"moved_from": "131042"}, "FORM_MOVED_FROM"),
    ({"reason": "転入"}, "MOVED_FROM_MISSING"),
    ({"moved_to": "000000"}, "FORM_MOVED_TO"),
    ({"reason": "転出"}, "MOVED_TO_MISSING"),
    ({"protected": ""}, "FORM_PROTECTED"),
    ({"reason": "取消"}, "CANCELS_MISSING"),
    ({"cancels": "13104-900010"}, "CANCELS_UNEXPECTED"),
    ({"reason": "取消", "cancels": "9000_10"}, "FORM_CANCELS"),
    ({"fault": "encoding", "kana": None, "raw": "gZU="}, "ENCODING"),
    ({"fault": "columns", "kana": None, "number": None}, "COLUMNS"),
    ({"fault": "other"}, "UNREADABLE"),
    ({"kana": None}, "FORM_KANA"),
    ({"municipality": "141097", "effective_on": "2027-03-03"}, "NOT_SUBMITTER"),
    ({"effective_on": "2026-05-03"}, "EFFECTIVE_LATE"),
]


@pytest.mark.parametrize(("overrides", "code"), INVALID_ROWS)
def test_a_row_is_rejected_for_its_first_error(overrides: dict[str, Any], code: str) -> None:
    """Formats column by column, then permissions, then content; the notices around it are accepted."""
    valid = csv_row(notice="13104-900012")
    result = INTAKE.process([csv_notices([csv_row(**overrides)], [valid])])
    assert rejections(result) == [(NUMBER, code)]
    assert [row["notice"] for row in records_of(result, "notice")] == ["13104-900012"]


def test_the_sixtieth_day_is_in_time() -> None:
    """A notice takes effect at most 60 days after it was recorded."""
    assert not rejections(INTAKE.process([csv_notices([csv_row(effective_on="2026-05-02")])]))


def test_a_notice_is_rejected_for_its_first_invalid_row() -> None:
    """The earlier row decides, even if the later one's error is in an earlier column."""
    other = {"code": "42990000022", "local_number": "1310490000002"}
    rows = [csv_row(), csv_row(**other, sex="x"), csv_row(code="1", local_number="2", number="z")]
    assert rejections(INTAKE.process([csv_notices(rows)])) == [(NUMBER, "FORM_SEX")]


@pytest.mark.parametrize(
    "column", ["notice", "reason", "effective_on", "recorded_on", "moved_from", "moved_to"]
)
def test_rows_of_a_notice_must_agree(column: str) -> None:
    """In the columns about the notice itself."""
    others = {"notice": "13104-1", "reason": "職権修正", "moved_from": "141097", "moved_to": "999999"}
    second = csv_row(code="42990000022", **{column: others.get(column, "2026-03-04")})
    assert rejections(INTAKE.process([csv_notices([csv_row(), second])])) == [(NUMBER, "ROWS_DIFFER")]


def test_a_person_repeated_in_a_notice_is_rejected() -> None:
    """Sources begin another submission there; an agency's own program might not."""
    assert rejections(INTAKE.process([csv_notices([csv_row(), csv_row(number="2")])])) == [
        (NUMBER, "PERSON_REPEATED")
    ]


def test_a_rejection_may_have_no_notice_number() -> None:
    """An unreadable number, or a submission without rows: the rejection has file and line instead."""
    result = INTAKE.process([csv_notices([csv_row(notice="届出1")], [])])
    assert rejections(result) == [(None, "FORM_NOTICE"), (None, "COLUMNS")]
    assert records_of(result, "rejected.juki-cs")[0]["origin"]["line"] == 2


INVALID_NOTICES: list[tuple[dict[str, Any], str]] = [
    ({"fault": "json", "raw": "eA=="}, "UNREADABLE"),
    ({"fault": "encoding"}, "ENCODING"),
    ({"notice": None}, "FORM_NOTICE"),
    ({"reason": "引越"}, "FORM_REASON"),
    ({"persons": None}, "PERSONS_OR_HOUSEHOLD"),
    ({"persons": []}, "PERSONS_OR_HOUSEHOLD"),
    ({"household": "131049000001"}, "PERSONS_OR_HOUSEHOLD"),
    ({"persons": None, "household": "131049000001"}, "NEW_NEEDS_PERSONS"),
    ({"to": {"address": "東京都"}}, "TO_WITHOUT_HOUSEHOLD"),
    ({"persons": [json_person(code=None)]}, "FORM_CODE"),
    ({"persons": [json_person(), json_person(code="42990000022", kana=None)]}, "NEW_NEEDS_ALL"),
    ({"persons": [json_person(protected=None)]}, "NEW_NEEDS_ALL"),
    ({"persons": [json_person(sex="x", address=None)]}, "FORM_SEX"),
    ({"persons": [json_person(), json_person()]}, "PERSON_REPEATED"),
    ({"reason": "転居", "persons": None, "household": "x"}, "FORM_HOUSEHOLD"),
    ({"reason": "転居", "persons": None, "household": "1" * 12, "to": {"address": ""}}, "FORM_ADDRESS"),
    ({"reason": "転入"}, "MOVED_FROM_MISSING"),
    ({"reason": "転出", "moved_to": "131042"}, "FORM_MOVED_TO"),
    ({"cancels": "13104-1"}, "CANCELS_UNEXPECTED"),
    ({"municipality": "141097"}, "NOT_SUBMITTER"),
]


@pytest.mark.parametrize(("overrides", "code"), INVALID_NOTICES)
def test_a_json_notice_is_rejected_for_its_first_error(overrides: dict[str, Any], code: str) -> None:
    """A new person needs every field; a notice has persons or a household, not both."""
    result = INTAKE.process([json_notices(json_notice(**overrides), json_notice(notice="13104-5"))])
    assert [code for _, code in rejections(result)] == [code]
    assert [row["notice"] for row in records_of(result, "notice")] == ["13104-5"]


@pytest.mark.parametrize("reason", list(JAPANESE))
def test_only_fields_that_the_reason_changes_are_published(reason: Reason) -> None:
    """A row has all columns; the protection column counts at a birth only."""
    others = {"moved_from": "141097", "moved_to": "141097", "protected": "1"}
    if reason is Reason.CANCELLED:
        others["cancels"] = "13104-900010"
    result = INTAKE.process([csv_notices([csv_row(reason=reason.japanese, **others)])])
    (notice,) = records_of(result, "notice")
    (with_facts,) = notice["persons"]
    published = {fact for fact, value in with_facts["facts"].items() if value is not None}
    assert published == FIELDS_BY_REASON[reason] | ({"protected"} if reason is Reason.BORN else set())
    assert notice["reason"] == reason.value


def test_a_household_has_the_same_code_in_any_format() -> None:
    """It is that of a row with the same number, and of no other municipality's household."""
    moved = json_notice(
        reason="転居",
        persons=None,
        household=csv_row()["household"],
        to={"household": "1" * 12, "address": "港区"},
    )
    (of_household,) = records_of(INTAKE.process([json_notices(moved)]), "notice")
    (first,) = records_of(INTAKE.process([json_notices(json_notice())]), "notice")
    elsewhere = json_notice(municipality="012033")
    (other,) = records_of(INTAKE.process([json_notices(elsewhere, topic="in.juki.012033")]), "notice")
    households = [row["persons"][0]["facts"]["household"] for row in (first, other)]
    assert of_household["household"] == households[0] != households[1]
    assert of_household["persons"] is None
    assert of_household["to"]["address"] == "港区"
    assert of_household["to"]["household"] not in (None, of_household["household"])


def test_an_empty_field_is_null() -> None:
    """In a JSON notice as in CSV."""
    submission = json_notice(moved_from="", moved_to="", cancels="")
    (notice,) = records_of(INTAKE.process([json_notices(submission)]), "notice")
    assert notice["moved_from"] is notice["moved_to"] is notice["cancels"] is None


def test_the_digest_depends_on_content_only() -> None:
    """通番, file and line don't count; every other column does, and so does the submitter."""

    def digest(topic: str = "in.juki-cs.131041", **overrides: Any) -> str:
        (notice,) = records_of(INTAKE.process([csv_notices([csv_row(**overrides)], topic=topic)]), "notice")
        return str(notice["digest"])

    assert digest() == digest(number="77", line=99)
    assert (
        len({digest(), digest(name="試験　二郎"), digest(moved_from="141097"), digest(moved_to="141097")})
        == 4
    )
    assert digest() != digest("in.juki-cs.012033", municipality="012033")


@given(overrides=st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, st.none() | st.text(max_size=6))))
def test_any_row_of_strings_is_accepted_or_rejected(overrides: dict[str, str | None]) -> None:
    """Exactly once, whatever the columns have."""
    result = INTAKE.process([csv_notices([csv_row(**overrides)], [csv_row(), csv_row(**overrides)])])
    assert not result.poison
    assert len(rejections(result)) + len(records_of(result, "notice")) == 2


TEXT = st.none() | st.text(max_size=6)
NOTICES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("notice", "reason", "effective_on", "household", "moved_from", "cancels", "fault", "raw"), TEXT
        ),
        "reason": st.sampled_from(list(JAPANESE.values())) | TEXT,
        "persons": st.none()
        | st.lists(st.dictionaries(st.sampled_from(["code", "kana", "sex"]), TEXT), max_size=3),
        "to": st.none() | st.dictionaries(st.sampled_from(["address", "household"]), TEXT),
    },
)


@given(overrides=st.lists(NOTICES, max_size=4))
def test_any_json_notice_of_strings_is_accepted_or_rejected(overrides: list[dict[str, Any]]) -> None:
    """Exactly once, whatever the fields have."""
    result = INTAKE.process([json_notices(*(json_notice(**row) for row in overrides))])
    assert not result.poison
    assert len(rejections(result)) + len(records_of(result, "notice")) == len(overrides)


@given(size=st.integers(0, 6))
def test_batches_do_not_matter(size: int) -> None:
    """The result for each record doesn't depend on its batch."""
    notices = [[csv_row(notice=f"13104-{n}", sex="男" if n % 3 else "?")] for n in range(6)]
    together = INTAKE.process([csv_notices(*notices)])
    parts = [csv_notices(*notices[:size]), csv_notices(*notices[size:])]
    assert _results(together) == sorted(_results(INTAKE.process(parts)))


def _results(result: Any) -> list[tuple[str, str]]:
    accepted = [(row["notice"], row["digest"]) for row in records_of(result, "notice")]
    rejected = records_of(result, "rejected.juki-cs")
    return sorted(accepted + [(row["notice"], row["id"].partition("#")[2]) for row in rejected])
