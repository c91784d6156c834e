"""The reference model against what the samples say must come out, and against what was worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import expected
from infra.verification.reference.reference_model import Expected, ExpectedRejection
from infra.verification.reference.roman import romanised
from tests.samples import SAMPLES, SMALL_CITY

pytestmark = pytest.mark.unit

PARTS = ("rows", "households", "portal", "refused")
CITIES = ("city", "city-2")

HEADER = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,"
    "生年月日,性別,続柄,住所,前住所地コード,転出先コード,支援措置,取消対象届出番号"
)


def sorted_by_value(part: list[Any]) -> list[Any]:
    return sorted(part, key=lambda item: json.dumps(item, ensure_ascii=False, sort_keys=True))


def files_of(city: str) -> list[Path]:
    return sorted(path for path in (SAMPLES / city).iterdir() if path.name != "expected.json")


@pytest.mark.parametrize("city", CITIES)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_sample_city_comes_out_as_its_own_answer_says(city: str, backwards: bool) -> None:
    """Every row, household, message and refusal, in whatever order the files come."""
    outcome = expected(sorted(files_of(city), reverse=backwards))
    answer = json.loads((SAMPLES / city / "expected.json").read_text(encoding="utf-8"))
    for part in PARTS:
        assert sorted_by_value(getattr(outcome, part)) == sorted_by_value(answer[part])


@pytest.mark.parametrize("city", CITIES)
def test_every_file_twice_changes_nothing(city: str) -> None:
    """The second hand-over of everything is a duplicate."""
    files = files_of(city)
    once, twice = expected(files), expected([*files, *files])
    assert [getattr(once, part) for part in PARTS] == [getattr(twice, part) for part in PARTS]
    assert (once.refusals, once.conflicts, once.details) == (twice.refusals, twice.conflicts, twice.details)
    assert len(twice.duplicates) == sum(once.accepted.values()) + len(once.refusals) + _enrolments(files)


def _enrolments(files: list[Path]) -> int:
    return sum(len(path.read_bytes().splitlines()) - 1 for path in files if path.name == "enrolments.csv")


@pytest.fixture(scope="module")
def small_city() -> Expected:
    """The city of `tests/data`, of forty residents; what is asserted of it below was worked out by hand."""
    return expected(sorted(path for path in SMALL_CITY.iterdir() if path.name != "expected.json"))


def test_the_small_city_comes_out_as_it_did(small_city: Expected) -> None:
    """Every row, household, message and refusal."""
    answer = json.loads((SMALL_CITY / "expected.json").read_text(encoding="utf-8"))
    assert {part: getattr(small_city, part) for part in PARTS} == answer


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        # moved within, corrected, the correction cancelled, then on the way to another municipality
        (("pension", "佐藤　陽葵", "1953-08-31"), ("active", "北海道小樽市稲穂4丁目14番10号", "2026-03-01")),
        (("local-tax", "佐藤　陽葵", "1953-08-31"), ("closed", None, "2026-03-20")),
        # protected, out and back in on one day, joined another household, cancelled, joined again
        (("pension", "八丁　裕子", "1957-09-27"), ("active", None, "2026-03-01")),
        # born into that household, protected as the notice says
        (("child", "八丁　一朗", "2026-03-12"), ("candidate", None, "2026-03-13")),
        # dead on the 7th; a change of name of the 6th was listed two weeks later
        (("pension", "渡邉　一朗", "1953-10-11"), ("closed", None, "2026-03-07")),
        # protected for a day, and on the way since
        (
            ("pension", "金城　結衣", "1942-07-01"),
            ("active", "神奈川県横浜市港北区新横浜3丁目20番11号", "2026-03-16"),
        ),
        # abroad for a day, by way of another municipality
        (("pension", "金城　悠真", "1945-10-20"), ("active", "東京都新宿区西新宿2丁目16番2号", "2026-03-19")),
        # a household's move within, cancelled the day it was recorded
        (("local-tax", "𠮷田　悟", "1942-05-22"), ("active", "東京都渋谷区道玄坂5丁目9番6号", "2026-02-01")),
        # two changes of household on a day; the cancellation of the first is overtaken
        (("local-tax", "田中　凛", "2016-01-12"), ("active", "東京都渋谷区代々木2丁目21番5号", "2026-03-14")),
    ],
)
def test_a_resident_of_the_small_city(
    small_city: Expected, who: tuple[str, str, str], shown: tuple[str, str | None, str]
) -> None:
    """Rows followed by hand through the lists: domain, name and birth; then status, address and day of effect."""
    rows = [
        (it["status"], it["address"], detail.effective_on)
        for it, detail in zip(small_city.rows, small_city.details, strict=True)
        if (it["domain"], it["name"], it["birth_date"]) == who
    ]
    assert shown in rows


def test_the_bad_file_line_by_line() -> None:
    """Lines of the file are its running numbers + 1, and + 2 below the second 11."""
    outcome = expected([SAMPLES / "bad" / "juki_131041_bad.csv"])
    assert [(it.line, it.notice, it.reason) for it in outcome.refusals] == [
        (3, "13104-900002", "form:municipality"),
        (4, "13104-900003", "form:reason"),
        (5, "13104-900004", "form:effective_on"),
        (6, "13104-900005", "form:household"),
        (7, "13104-900006", "form:code"),
        (8, "13104-900007", "resident-unknown"),
        (9, "13104-900008", "form:kana"),
        (10, "14109-900009", "other-municipality"),
        (11, "13104-900010", "columns"),
        (14, "13104-900011", "number-taken"),
        (15, "13104-900013", "too-far-ahead"),
        (16, "13104-900014", "birth-known"),
    ]
    assert [(it.line, it.notice) for it in outcome.duplicates] == [(13, "13104-900011")]
    assert [row["address"] for row in outcome.rows] == ["東京都新宿区四谷3丁目3番3号"]


def test_cp932_is_found_out_by_itself() -> None:
    """An old system's file, without BOM."""
    outcome = expected([SAMPLES / "bad" / "juki_131041_cp932.csv"])
    assert [row["name"] for row in outcome.rows] == ["試験　三郎"]
    assert not outcome.refusals


# -- by hand: one household of A (131041), and B (141097)


def row(number: str, reason: str, day: str, **other: str) -> str:
    """A row of CSV about one person of A, unless `other` says so."""
    columns = {
        "running": "1", "number": number, "at": "131041", "reason": reason, "effective_on": day,
        "recorded_on": day, "household": "000000000001", "local": "0000000000001", "code": "42990000011",
        "name": "試験　一郎", "kana": "シケン　イチロウ", "birth": "1980-05-05",
        "sex": "男", "relation": "世帯主", "address": "甲", "moved_from": "", "moved_to": "",
        "protected": "0", "cancels": "",
    }  # fmt: skip
    return ",".join((columns | other).values())


def outcome_of(folder: Path, **files: list[str]) -> Expected:
    """The model's answer to files written into `folder`, CSV but for names that begin with `notices` or `events`."""
    paths = []
    for name, lines in files.items():
        as_json = name.startswith(("notices", "events"))
        path = folder / f"{name}.{'jsonl' if as_json else 'csv'}"
        header = [] if as_json else [HEADER]
        if name.startswith("enrolments"):
            header = ["業務,市区町村コード,住民票コード,開始日"]
        path.write_text("\n".join([*header, *lines, ""]), encoding="utf-8")
        paths.append(path)
    return expected(paths)


def statuses(outcome: Expected) -> set[tuple[str, str | None, str, str | None]]:
    return {(it["domain"], it["municipality"], it["status"], it["address"]) for it in outcome.rows}


BORN_HERE = row("13104-1", "初期登録", "2026-02-01")


def test_back_and_forth_on_one_day(tmp_path: Path) -> None:
    """A to B to A on one day: A's row is open again at the new address, child goes along as candidate."""
    outcome = outcome_of(
        tmp_path,
        juki_131041=[
            BORN_HERE,
            row("13104-2", "転出", "2026-03-01", moved_to="141097"),
            row("13104-3", "転入", "2026-03-01", moved_from="141097", address="丙"),
        ],
        juki_141097=[
            row("14109-1", "転入", "2026-03-01", at="141097", moved_from="131041", address="乙"),
            row("14109-2", "転出", "2026-03-01", at="141097", moved_to="131041"),
        ],
        enrolments=["child,131041,42990000011,2026-02-01"],
    )
    assert statuses(outcome) == {
        ("local-tax", "131041", "active", "丙"),
        ("child", "131041", "candidate", "丙"),
        ("local-tax", "141097", "closed", None),
        ("child", "141097", "closed", None),
    }


def test_a_conflict_comes_right_by_a_late_notice(tmp_path: Path) -> None:
    """An enrolment before the register's file is kept, and counts once the file is there."""
    enrolments = ["care,131041,42990000011,2026-02-01", "pension,,42990000012,2026-02-01"]
    alone = outcome_of(tmp_path, enrolments=enrolments)
    assert alone.conflicts == {("care", "131041", "2026-02-01"): 1, ("pension", None, "2026-02-01"): 1}
    both = outcome_of(tmp_path, enrolments=enrolments, juki_131041=[BORN_HERE])
    assert both.conflicts == {("pension", None, "2026-02-01"): 1}
    assert ("care", "131041", "active", "甲") in statuses(both)


def test_a_correction_listed_late_and_its_cancellation(tmp_path: Path) -> None:
    """A late correction stands at its day; it can be cancelled once what came after it is cancelled."""
    listed = [
        BORN_HERE,
        row("13104-2", "転居", "2026-03-10", address="乙"),
        row("13104-3", "職権修正", "2026-03-05", address="甲 1号室", birth="1980-05-06"),
        row("13104-4", "取消", "2026-03-05", cancels="13104-3"),
        row("13104-5", "取消", "2026-03-10", cancels="13104-2"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=listed)
    assert [(it.notice, it.reason) for it in outcome.refusals] == [("13104-4", "overtaken")]
    assert facts(outcome, "address", "birth_date") == [("甲 1号室", "1980-05-06")]
    outcome = outcome_of(
        tmp_path, juki_131041=[*listed, row("13104-6", "取消", "2026-03-05", cancels="13104-3")]
    )
    assert outcome.refused == ["13104-4"]
    assert facts(outcome, "address", "birth_date") == [("甲", "1980-05-05")]


def facts(outcome: Expected, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(it[name] for name in names) for it in outcome.rows]


def test_a_protected_address_reaches_nobody(tmp_path: Path) -> None:
    """Protection goes along to B and abroad, whatever the column says, until a notice ends it."""
    enrolments = ["nta,,42990000011,2026-02-01"]
    here = [
        BORN_HERE,
        row("13104-2", "支援措置開始", "2026-03-01", protected="1"),
        row("13104-3", "転出", "2026-03-02", moved_to="141097"),
    ]
    there = [
        row("14109-1", "転入", "2026-03-02", at="141097", moved_from="131041", address="乙"),
        row("14109-2", "国外転出", "2026-03-03", at="141097", moved_to="999999"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=here, juki_141097=there, enrolments=enrolments)
    assert {it["address"] for it in outcome.rows} == {None}
    days = {row["domain"]: it.effective_on for row, it in zip(outcome.rows, outcome.details, strict=True)}
    assert days["nta"] == "2026-03-01"
    ended = row("14109-3", "支援措置終了", "2026-03-03", at="141097")
    outcome = outcome_of(
        tmp_path, juki_131041=here, juki_141097=[there[0], ended, there[1]], enrolments=enrolments
    )
    assert ("nta", None, "active", "国外") in statuses(outcome)


def test_a_household_is_who_lives_there_when_the_notice_is_listed(tmp_path: Path) -> None:
    """A notice by household does not reach the dead; one that nobody lives in is unknown."""
    home = "000000000007"
    head = {"municipality": "131130", "effective_on": "2026-03-01", "recorded_on": "2026-03-01"}
    both = [
        {
            "code": code, "local_number": "0000000000001", "name": name, "kana": "シケン　ハナ", "sex": "女",
            "birth_date": "1980-05-05", "relationship": "子", "household": home, "address": "甲",
            "protected": False,
        }
        for code, name in (("42990000011", "一"), ("42990000012", "二"))
    ]  # fmt: skip
    lines = [
        {"notice": "13113-1", "reason": "初期登録", **head, "persons": both},
        {"notice": "13113-2", "reason": "死亡", **head, "persons": [{"code": "42990000012"}]},
        {"notice": "13113-3", "reason": "転居", **head, "household": home, "to": {"address": "乙"}},
        {"notice": "13113-4", "reason": "転居", **head, "household": "000000000008", "to": {"address": "丙"}},
        {"notice": "13113-5", "reason": "転居", **head, "household": home, "persons": both},
    ]
    outcome = outcome_of(
        tmp_path,
        notices_131130=[json.dumps(line, ensure_ascii=False) for line in [*lines, "no notice"]],
        enrolments=["portal,,42990000011,2026-02-28", "portal,,42990000012,2026-02-28"],
    )
    assert facts(outcome, "name", "status", "address") == [("一", "active", "乙"), ("二", "closed", None)]
    assert outcome.households == [["一1980-05-05"]]
    assert not outcome.portal
    assert outcome.refusals == [
        ExpectedRejection("notices_131130.jsonl", 4, "13113-4", "resident-unknown"),
        ExpectedRejection("notices_131130.jsonl", 5, "13113-5", "persons-or-household"),
        ExpectedRejection("notices_131130.jsonl", 6, None, "json"),
    ]
    assert outcome.conflicts == {("portal", None, "2026-02-28"): 2}


def test_messages_after_the_day_of_enrolment(tmp_path: Path) -> None:
    """One per accepted notice, a cancellation and the cancelled one too, but none for the own death."""
    listed = [
        BORN_HERE,
        row("13104-2", "転居", "2026-03-01", address="乙"),
        row("13104-3", "転居", "2026-03-02", address="丙"),
        row("13104-4", "取消", "2026-03-02", cancels="13104-3"),
        row("13104-5", "死亡", "2026-03-03"),
    ]
    outcome = outcome_of(tmp_path, juki_131041=listed, enrolments=["portal,,42990000011,2026-03-01"])
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
def test_readings_as_on_a_passport(kana: str, roman: str) -> None:
    """The ministry's rule, and the names in which it would be wrong."""
    assert romanised(kana) == roman
