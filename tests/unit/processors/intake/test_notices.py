"""What intake makes of notices: the first fault decides, and only what the reason changes goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from processors.intake.csv_notices import COLUMNS
from schemas.reasons import FIELDS_BY_REASON, JAPANESE, Reason
from tests.unit.processors.submissions import (
    event,
    events_batch,
    key_ring,
    person,
    refusals,
    row,
    rows_batch,
    rows_of,
)

INTAKE = IntakeProcessor(key_ring())
NUMBER = "13104-900011"

SPOILED_ROWS: list[tuple[dict[str, Any], str]] = [
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
    ({"reason": "取消", "cancels": "900010"}, "FORM_CANCELS"),
    ({"fault": "encoding", "kana": None, "raw": "gZU="}, "ENCODING"),
    ({"fault": "columns", "kana": None, "number": None}, "COLUMNS"),
    ({"fault": "other"}, "UNREADABLE"),
    ({"kana": None}, "FORM_KANA"),
    ({"municipality": "141097", "effective_on": "2027-03-03"}, "NOT_SUBMITTER"),
    ({"effective_on": "2026-05-03"}, "EFFECTIVE_LATE"),
]


@pytest.mark.parametrize(("spoiled", "code"), SPOILED_ROWS)
def test_a_row_is_refused_for_its_first_fault(spoiled: dict[str, Any], code: str) -> None:
    """Form column by column, then rights, then content; what stands beside it is accepted."""
    good = row(notice="13104-900012")
    result = INTAKE.process([rows_batch([row(**spoiled)], [good])])
    assert refusals(result) == [(NUMBER, code)]
    assert [each["notice"] for each in rows_of(result, "notice")] == ["13104-900012"]


def test_the_sixtieth_day_is_in_time() -> None:
    """At most 60 days after it was recorded."""
    assert not refusals(INTAKE.process([rows_batch([row(effective_on="2026-05-02")])]))


def test_a_notice_is_refused_whole_for_its_first_faulty_row() -> None:
    """The earlier row decides, though the later one's fault stands in an earlier column."""
    other = {"code": "42990000022", "local_number": "1310490000002"}
    rows = [row(), row(**other, sex="x"), row(code="1", local_number="2", number="z")]
    assert refusals(INTAKE.process([rows_batch(rows)])) == [(NUMBER, "FORM_SEX")]


@pytest.mark.parametrize(
    "column", ["notice", "reason", "effective_on", "recorded_on", "moved_from", "moved_to"]
)
def test_rows_of_a_notice_agree(column: str) -> None:
    """What each row says of the notice as a whole."""
    others = {"notice": "13104-1", "reason": "職権修正", "moved_from": "141097", "moved_to": "999999"}
    second = row(code="42990000022", **{column: others.get(column, "2026-03-04")})
    assert refusals(INTAKE.process([rows_batch([row(), second])])) == [(NUMBER, "ROWS_DIFFER")]


def test_a_person_stands_once_in_a_notice() -> None:
    """Sources begin another hand-over there; an agency's own program might not."""
    assert refusals(INTAKE.process([rows_batch([row(), row(number="2")])])) == [(NUMBER, "PERSON_REPEATED")]


def test_what_has_no_readable_number_is_listed_without() -> None:
    """With its file and line instead; also a hand-over without rows."""
    result = INTAKE.process([rows_batch([row(notice="届出1")], [])])
    assert refusals(result) == [(None, "FORM_NOTICE"), (None, "COLUMNS")]
    assert rows_of(result, "rejected.juki-cs")[0]["origin"]["line"] == 2


SPOILED_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"fault": "json", "raw": "eA=="}, "UNREADABLE"),
    ({"fault": "encoding"}, "ENCODING"),
    ({"notice": None}, "FORM_NOTICE"),
    ({"reason": "引越"}, "FORM_REASON"),
    ({"persons": None}, "PERSONS_OR_HOUSEHOLD"),
    ({"persons": []}, "PERSONS_OR_HOUSEHOLD"),
    ({"household": "131049000001"}, "PERSONS_OR_HOUSEHOLD"),
    ({"persons": None, "household": "131049000001"}, "NEW_NEEDS_PERSONS"),
    ({"to": {"address": "東京都"}}, "TO_WITHOUT_HOUSEHOLD"),
    ({"persons": [person(code=None)]}, "FORM_CODE"),
    ({"persons": [person(), person(code="42990000022", kana=None)]}, "NEW_NEEDS_ALL"),
    ({"persons": [person(protected=None)]}, "NEW_NEEDS_ALL"),
    ({"persons": [person(sex="x", address=None)]}, "FORM_SEX"),
    ({"persons": [person(), person()]}, "PERSON_REPEATED"),
    ({"reason": "転居", "persons": None, "household": "x"}, "FORM_HOUSEHOLD"),
    ({"reason": "転居", "persons": None, "household": "1" * 12, "to": {"address": ""}}, "FORM_ADDRESS"),
    ({"reason": "転入"}, "MOVED_FROM_MISSING"),
    ({"reason": "転出", "moved_to": "131042"}, "FORM_MOVED_TO"),
    ({"cancels": "13104-1"}, "CANCELS_UNEXPECTED"),
    ({"municipality": "141097"}, "NOT_SUBMITTER"),
]


@pytest.mark.parametrize(("spoiled", "code"), SPOILED_EVENTS)
def test_an_event_is_refused_for_its_first_fault(spoiled: dict[str, Any], code: str) -> None:
    """Who is new needs every field; persons or a household, not both."""
    result = INTAKE.process([events_batch(event(**spoiled), event(notice="13104-5"))])
    assert [each for _, each in refusals(result)] == [code]
    assert [each["notice"] for each in rows_of(result, "notice")] == ["13104-5"]


@pytest.mark.parametrize("reason", list(JAPANESE))
def test_only_what_the_reason_changes_goes_on(reason: Reason) -> None:
    """A row shows all columns; the measure of protection counts at a birth only."""
    others = {"moved_from": "141097", "moved_to": "141097", "protected": "1"}
    if reason is Reason.CANCELLED:
        others["cancels"] = "13104-900010"
    result = INTAKE.process([rows_batch([row(reason=reason.japanese, **others)])])
    (notice,) = rows_of(result, "notice")
    (named,) = notice["persons"]
    given = {fact for fact, value in named["facts"].items() if value is not None}
    assert given == FIELDS_BY_REASON[reason] | ({"protected"} if reason is Reason.BORN else set())
    assert notice["reason"] == reason.value


def test_a_household_is_meant_by_its_code() -> None:
    """The household's mesh code is that of a row with the same number, and of no other municipality's."""
    moved = event(
        reason="転居",
        persons=None,
        household=row()["household"],
        to={"household": "1" * 12, "address": "港区"},
    )
    (meant,) = rows_of(INTAKE.process([events_batch(moved)]), "notice")
    (first,) = rows_of(INTAKE.process([events_batch(event())]), "notice")
    elsewhere = event(municipality="012033")
    (other,) = rows_of(INTAKE.process([events_batch(elsewhere, topic="in.juki.012033")]), "notice")
    households = [each["persons"][0]["facts"]["household"] for each in (first, other)]
    assert meant["household"] == households[0] != households[1]
    assert meant["persons"] is None
    assert meant["to"]["address"] == "港区"
    assert meant["to"]["household"] not in (None, meant["household"])


def test_an_empty_place_is_not_given() -> None:
    """In an event as in the columns."""
    filed = event(moved_from="", moved_to="", cancels="")
    (notice,) = rows_of(INTAKE.process([events_batch(filed)]), "notice")
    assert notice["moved_from"] is notice["moved_to"] is notice["cancels"] is None


def test_the_digest_knows_content_alone() -> None:
    """通番, file and line apart; every other column counts, and so does the submitter."""

    def digest(topic: str = "in.juki-cs.131041", **spoiled: Any) -> str:
        (notice,) = rows_of(INTAKE.process([rows_batch([row(**spoiled)], topic=topic)]), "notice")
        return str(notice["digest"])

    assert digest() == digest(number="77", line=99)
    assert (
        len({digest(), digest(name="試験　二郎"), digest(moved_from="141097"), digest(moved_to="141097")})
        == 4
    )
    assert digest() != digest("in.juki-cs.012033", municipality="012033")


@given(spoiled=st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, st.none() | st.text(max_size=6))))
def test_no_row_of_strings_stops_intake(spoiled: dict[str, str | None]) -> None:
    """Whatever stands in the columns: accepted or refused, once."""
    result = INTAKE.process([rows_batch([row(**spoiled)], [row(), row(**spoiled)])])
    assert not result.poison
    assert len(refusals(result)) + len(rows_of(result, "notice")) == 2


TEXT = st.none() | st.text(max_size=6)
EVENTS = st.fixed_dictionaries(
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


@given(spoiled=st.lists(EVENTS, max_size=4))
def test_no_event_of_strings_stops_intake(spoiled: list[dict[str, Any]]) -> None:
    """Whatever stands in the fields: accepted or refused, once."""
    result = INTAKE.process([events_batch(*(event(**each) for each in spoiled))])
    assert not result.poison
    assert len(refusals(result)) + len(rows_of(result, "notice")) == len(spoiled)


@given(cut=st.integers(0, 6))
def test_batches_may_be_cut_anywhere(cut: int) -> None:
    """Each record comes out the same, whatever stood in its batch."""
    notices = [[row(notice=f"13104-{n}", sex="男" if n % 3 else "?")] for n in range(6)]
    whole = INTAKE.process([rows_batch(*notices)])
    parts = [rows_batch(*notices[:cut]), rows_batch(*notices[cut:])]
    assert _told(whole) == sorted(_told(INTAKE.process(parts)))


def _told(result: Any) -> list[tuple[str, str]]:
    accepted = [(each["notice"], each["digest"]) for each in rows_of(result, "notice")]
    refused = rows_of(result, "rejected.juki-cs")
    return sorted(accepted + [(each["notice"], each["id"].partition("#")[2]) for each in refused])
