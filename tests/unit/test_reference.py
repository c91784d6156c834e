"""The reference model, compared with the samples' expected contents and with cases worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import expected
from infra.verification.reference.reference_model import Expected, ExpectedRejection
from infra.verification.reference.roman import romanize
from tests.register_files import expected_json
from tests.samples import SAMPLES, SMALL_CITY

pytestmark = pytest.mark.unit

#: Part of an expected.json -> attribute of the model's result.
PARTS = {name: name for name in ("rows", "households", "portal")} | {"refused": "rejected_cancellations"}
CITIES = ("city", "city-2")

HEADER = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,"
    "生年月日,性別,続柄,住所,前住所地コード,転出先コード,支援措置,取消対象届出番号"
)


def parts_of(outcome: Expected) -> dict[str, Any]:
    """Return the parts of the model's result that an expected.json has."""
    return {part: getattr(outcome, attribute) for part, attribute in PARTS.items()}


def sorted_by_value(part: list[Any]) -> list[Any]:
    """Return the items in an order that doesn't depend on that of the list."""
    return sorted(part, key=lambda item: json.dumps(item, ensure_ascii=False, sort_keys=True))


def files_of(city: str) -> list[Path]:
    """Return the input files of a sample city."""
    return sorted(path for path in (SAMPLES / city).iterdir() if path.name != "expected.json")


@pytest.mark.parametrize("city", CITIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_sample_city_gives_its_expected_contents(city: str, reverse: bool) -> None:
    """All rows, households, messages and rejected cancellations are equal, whatever the order of the files."""
    outcome = expected(sorted(files_of(city), reverse=reverse))
    contents = expected_json(SAMPLES / city)
    for part, items in parts_of(outcome).items():
        assert sorted_by_value(items) == sorted_by_value(contents[part])


@pytest.mark.parametrize("city", CITIES)
def test_submitting_every_file_twice_changes_nothing(city: str) -> None:
    """Every second submission is a duplicate."""
    files = files_of(city)
    once, twice = expected(files), expected([*files, *files])
    assert parts_of(once) == parts_of(twice)
    assert (once.rejections, once.conflicts, once.details) == (
        twice.rejections,
        twice.conflicts,
        twice.details,
    )
    assert len(twice.duplicates) == sum(once.accepted.values()) + len(once.rejections) + _count_enrolments(
        files
    )


def _count_enrolments(files: list[Path]) -> int:
    return sum(len(path.read_bytes().splitlines()) - 1 for path in files if path.name == "enrolments.csv")


@pytest.fixture(scope="module")
def small_city() -> Expected:
    """Return the model's result for the city of forty residents; the tests' values were worked out by hand."""
    return expected(sorted(path for path in SMALL_CITY.iterdir() if path.name != "expected.json"))


def test_the_small_city_gives_its_expected_contents(small_city: Expected) -> None:
    """All rows, households, messages and rejected cancellations are equal, in order."""
    contents = expected_json(SMALL_CITY)
    assert parts_of(small_city) == contents


@pytest.mark.parametrize(
    ("row_key", "expected_row"),
    [
        # moved within, corrected, the correction cancelled, then moved out and not in yet
        (("pension", "佐藤　陽葵", "1953-08-31"), ("active", "北海道小樽市稲穂4丁目14番10号", "2026-03-01")),
        (("local-tax", "佐藤　陽葵", "1953-08-31"), ("closed", None, "2026-03-20")),
        # protected, moved out and back in on one day, joined another household, cancelled, joined again
        (("pension", "八丁　裕子", "1957-09-27"), ("active", None, "2026-03-01")),
        # born into that household, protected by the notice of birth
        (("child", "八丁　一朗", "2026-03-12"), ("candidate", None, "2026-03-13")),
        # died on the 7th; a change of name of the 6th was recorded two weeks later
        (("pension", "渡邉　一朗", "1953-10-11"), ("closed", None, "2026-03-07")),
        # protected for a day, then moved out and not in yet
        (
            ("pension", "金城　結衣", "1942-07-01"),
            ("active", "神奈川県横浜市港北区新横浜3丁目20番11号", "2026-03-16"),
        ),
        # abroad for a day, returned by way of another municipality
        (("pension", "金城　悠真", "1945-10-20"), ("active", "東京都新宿区西新宿2丁目16番2号", "2026-03-19")),
        # a household's move within was cancelled on the day of its recording
        (("local-tax", "𠮷田　悟", "1942-05-22"), ("active", "東京都渋谷区道玄坂5丁目9番6号", "2026-02-01")),
        # two changes of household on a day; the cancellation of the first is overtaken
        (("local-tax", "田中　凛", "2016-01-12"), ("active", "東京都渋谷区代々木2丁目21番5号", "2026-03-14")),
    ],
)
def test_the_small_city_has_a_row_worked_out_by_hand(
    small_city: Expected, row_key: tuple[str, str, str], expected_row: tuple[str, str | None, str]
) -> None:
    """Check a row: key is domain, name and birth date; the rest is status, address and day of effect."""
    rows = [
        (row["status"], row["address"], detail.effective_on)
        for row, detail in zip(small_city.rows, small_city.details, strict=True)
        if (row["domain"], row["name"], row["birth_date"]) == row_key
    ]
    assert expected_row in rows


def test_each_faulty_row_is_rejected_for_its_fault() -> None:
    """A line number of the file is its running number + 1, and + 2 after the second number 11."""
    outcome = expected([SAMPLES / "bad" / "juki_131041_bad.csv"])
    assert [(rejection.line, rejection.notice, rejection.reason) for rejection in outcome.rejections] == [
        (3, "13104-900002", "format:municipality"),
        (4, "13104-900003", "format:reason"),
        (5, "13104-900004", "format:effective_on"),
        (6, "13104-900005", "format:household"),
        (7, "13104-900006", "format:code"),
        (8, "13104-900007", "resident-unknown"),
        (9, "13104-900008", "format:kana"),
        (10, "14109-900009", "other-municipality"),
        (11, "13104-900010", "columns"),
        (14, "13104-900011", "number-taken"),
        (15, "13104-900013", "too-far-ahead"),
        (16, "13104-900014", "birth-known"),
    ]
    assert [(duplicate.line, duplicate.notice) for duplicate in outcome.duplicates] == [(13, "13104-900011")]
    assert [row["address"] for row in outcome.rows] == ["東京都新宿区四谷3丁目3番3号"]


def test_cp932_is_recognized() -> None:
    """A file of an old system has no BOM."""
    outcome = expected([SAMPLES / "bad" / "juki_131041_cp932.csv"])
    assert [row["name"] for row in outcome.rows] == ["試験　三郎"]
    assert not outcome.rejections


# -- cases by hand: one household in municipality A (131041), and municipality B (141097)


def csv_row(number: str, reason: str, day: str, **other: str) -> str:
    """Return a CSV row of A about one person; `other` replaces columns."""
    columns = {
        "running_number": "1", "number": number, "at": "131041", "reason": reason, "effective_on": day,
        "recorded_on": day, "household": "000000000001", "local": "0000000000001", "code": "42990000011",
        "name": "試験　一郎", "kana": "シケン　イチロウ", "birth": "1980-05-05",
        "sex": "男", "relation": "世帯主", "address": "甲", "moved_from": "", "moved_to": "",
        "protected": "0", "cancels": "",
    }  # fmt: skip
    return ",".join((columns | other).values())


def outcome_of(folder: Path, **files: list[str]) -> Expected:
    """Return the model's result for files with these lines, written into `folder`.

    Files are CSV, except for names that begin with `notices` or `events`.
    """
    paths = []
    for name, lines in files.items():
        is_json = name.startswith(("notices", "events"))
        path = folder / f"{name}.{'jsonl' if is_json else 'csv'}"
        header = [] if is_json else [HEADER]
        if name.startswith("enrolments"):
            header = ["業務,市区町村コード,住民票コード,開始日"]
        path.write_text("\n".join([*header, *lines, ""]), encoding="utf-8")
        paths.append(path)
    return expected(paths)


def statuses(outcome: Expected) -> set[tuple[str, str | None, str, str | None]]:
    """Return domain, municipality, status and address of each row."""
    return {(row["domain"], row["municipality"], row["status"], row["address"]) for row in outcome.rows}


FIRST_REGISTERED = csv_row("13104-1", "初期登録", "2026-02-01")


def test_moving_out_and_back_on_one_day_reopens_the_row(tmp_path: Path) -> None:
    """After A to B to A, A's row is open at the new address, and child has a candidate there."""
    outcome = outcome_of(
        tmp_path,
        juki_131041=[
            FIRST_REGISTERED,
            csv_row("13104-2", "転出", "2026-03-01", moved_to="141097"),
            csv_row("13104-3", "転入", "2026-03-01", moved_from="141097", address="丙"),
        ],
        juki_141097=[
            csv_row("14109-1", "転入", "2026-03-01", at="141097", moved_from="131041", address="乙"),
            csv_row("14109-2", "転出", "2026-03-01", at="141097", moved_to="131041"),
        ],
        enrolments=["child,131041,42990000011,2026-02-01"],
    )
    assert statuses(outcome) == {
        ("local-tax", "131041", "active", "丙"),
        ("child", "131041", "candidate", "丙"),
        ("local-tax", "141097", "closed", None),
        ("child", "141097", "closed", None),
    }


def test_a_late_notice_resolves_the_conflict_of_an_earlier_enrolment(tmp_path: Path) -> None:
    """An enrolment submitted before the register's file takes effect once the file is submitted."""
    enrolments = ["care,131041,42990000011,2026-02-01", "pension,,42990000012,2026-02-01"]
    alone = outcome_of(tmp_path, enrolments=enrolments)
    assert alone.conflicts == {("care", "131041", "2026-02-01"): 1, ("pension", None, "2026-02-01"): 1}
    both = outcome_of(tmp_path, enrolments=enrolments, juki_131041=[FIRST_REGISTERED])
    assert both.conflicts == {("pension", None, "2026-02-01"): 1}
    assert ("care", "131041", "active", "甲") in statuses(both)


def test_a_late_correction_can_be_cancelled_after_later_notices_are(tmp_path: Path) -> None:
    """A late correction takes effect on its day; it can be cancelled once the later notice is cancelled."""
    notices = [
        FIRST_REGISTERED,
        csv_row("13104-2", "転居", "2026-03-10", address="乙"),
        csv_row("13104-3", "職権修正", "2026-03-05", address="甲 1号室", birth="1980-05-06"),
        csv_row("13104-4", "取消", "2026-03-05", cancels="13104-3"),
        csv_row("13104-5", "取消", "2026-03-10", cancels="13104-2"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=notices)
    assert [(rejection.notice, rejection.reason) for rejection in outcome.rejections] == [
        ("13104-4", "overtaken")
    ]
    assert facts(outcome, "address", "birth_date") == [("甲 1号室", "1980-05-06")]
    outcome = outcome_of(
        tmp_path, juki_131041=[*notices, csv_row("13104-6", "取消", "2026-03-05", cancels="13104-3")]
    )
    assert outcome.rejected_cancellations == ["13104-4"]
    assert facts(outcome, "address", "birth_date") == [("甲", "1980-05-05")]


def facts(outcome: Expected, *names: str) -> list[tuple[Any, ...]]:
    """Return these columns of each row."""
    return [tuple(row[name] for name in names) for row in outcome.rows]


def test_no_row_has_a_protected_address(tmp_path: Path) -> None:
    """Protection continues in B and abroad, whatever the column 支援措置 has, until a notice ends it."""
    enrolments = ["nta,,42990000011,2026-02-01"]
    notices_of_a = [
        FIRST_REGISTERED,
        csv_row("13104-2", "支援措置開始", "2026-03-01", protected="1"),
        csv_row("13104-3", "転出", "2026-03-02", moved_to="141097"),
    ]
    notices_of_b = [
        csv_row("14109-1", "転入", "2026-03-02", at="141097", moved_from="131041", address="乙"),
        csv_row("14109-2", "国外転出", "2026-03-03", at="141097", moved_to="999999"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=notices_of_a, juki_141097=notices_of_b, enrolments=enrolments)
    assert {row["address"] for row in outcome.rows} == {None}
    days = {
        row["domain"]: detail.effective_on for row, detail in zip(outcome.rows, outcome.details, strict=True)
    }
    assert days["nta"] == "2026-03-01"
    ended = csv_row("14109-3", "支援措置終了", "2026-03-03", at="141097")
    outcome = outcome_of(
        tmp_path,
        juki_131041=notices_of_a,
        juki_141097=[notices_of_b[0], ended, notices_of_b[1]],
        enrolments=enrolments,
    )
    assert ("nta", None, "active", "国外") in statuses(outcome)


def test_a_notice_by_household_concerns_its_present_members(tmp_path: Path) -> None:
    """A notice by household doesn't change the dead; one of a household without members is rejected."""
    household = "000000000007"
    common = {"municipality": "131130", "effective_on": "2026-03-01", "recorded_on": "2026-03-01"}
    persons = [
        {
            "code": code, "local_number": "0000000000001", "name": name, "kana": "シケン　ハナ", "sex": "女",
            "birth_date": "1980-05-05", "relationship": "子", "household": household, "address": "甲",
            "protected": False,
        }
        for code, name in (("42990000011", "一"), ("42990000012", "二"))
    ]  # fmt: skip
    lines = [
        {"notice": "13113-1", "reason": "初期登録", **common, "persons": persons},
        {"notice": "13113-2", "reason": "死亡", **common, "persons": [{"code": "42990000012"}]},
        {"notice": "13113-3", "reason": "転居", **common, "household": household, "to": {"address": "乙"}},
        {
            "notice": "13113-4",
            "reason": "転居",
            **common,
            "household": "000000000008",
            "to": {"address": "丙"},
        },
        {"notice": "13113-5", "reason": "転居", **common, "household": household, "persons": persons},
    ]
    outcome = outcome_of(
        tmp_path,
        notices_131130=[json.dumps(line, ensure_ascii=False) for line in [*lines, "no notice"]],
        enrolments=["portal,,42990000011,2026-02-28", "portal,,42990000012,2026-02-28"],
    )
    assert facts(outcome, "name", "status", "address") == [("一", "active", "乙"), ("二", "closed", None)]
    assert outcome.households == [["一1980-05-05"]]
    assert not outcome.portal
    assert outcome.rejections == [
        ExpectedRejection("notices_131130.jsonl", 4, "13113-4", "resident-unknown"),
        ExpectedRejection("notices_131130.jsonl", 5, "13113-5", "persons-or-household"),
        ExpectedRejection("notices_131130.jsonl", 6, None, "json"),
    ]
    assert outcome.conflicts == {("portal", None, "2026-02-28"): 2}


def test_messages_begin_after_the_day_of_enrolment(tmp_path: Path) -> None:
    """Every accepted notice gives a message, also a cancellation and the cancelled notice, but not the own death."""
    notices = [
        FIRST_REGISTERED,
        csv_row("13104-2", "転居", "2026-03-01", address="乙"),
        csv_row("13104-3", "転居", "2026-03-02", address="丙"),
        csv_row("13104-4", "取消", "2026-03-02", cancels="13104-3"),
        csv_row("13104-5", "死亡", "2026-03-03"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=notices, enrolments=["portal,,42990000011,2026-03-01"])
    assert outcome.portal == [[["取消", "2026-03-02"], ["転居", "2026-03-02"]]]
    assert facts(outcome, "status", "address", "kana") == [("closed", None, "シケン　イチロウ")]


@pytest.mark.parametrize(
    ("kana", "roman"),
    [
        ("オオノ　ユウマ", "ONO YUMA"),
        ("ホンマ　ジュンイチ", "HOMMA JUNICHI"),
        ("エッチュウ　コウ", "ETCHU KO"),
        ("マツウラ　キョウコ", "MATSUURA KYOKO"),
        ("イノウエ　シンペイ", "INOUE SHIMPEI"),
        ("ハットリ　ヒュウガ", "HATTORI HYUGA"),
        ("ヨコオ　トオル", "YOKOO TORU"),
        ("オオウチ　ジョージ", "OUCHI JOJI"),
        ("オオオカ　ニイナ", "OOKA NIINA"),
        ("ミウラ　オト", "MIURA OTO"),
    ],
)
def test_a_reading_is_romanized_as_on_a_passport(kana: str, roman: str) -> None:
    """The ministry's rules apply, except in names whose words end between two vowels."""
    assert romanize(kana) == roman
