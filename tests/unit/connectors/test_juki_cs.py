"""The gateway server's CSV: encodings, faults of rows, and which rows are one hand-over."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import FileFormatError, FileLimitError, FileNameError, SourceFileError
from connectors.files.parsing import Encoding
from connectors.files.source import FileSettings
from connectors.juki_cs import JukiCsSource
from connectors.juki_cs.csv_row import HEADER
from connectors.source import Route

NAME = "juki_131041.csv"


def row(
    number: int, notice: str = "13104-900001", code: str = "42990000011", name: str = "試験　一郎"
) -> str:
    return (
        f"{number},{notice},131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,{code},{name},"
        "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区西新宿1丁目1番1号,,,0,"
    )


def written(folder: Path, *lines: str | bytes, encoding: str = "utf-8-sig", name: str = NAME) -> Path:
    path = folder / name
    plain = encoding.removesuffix("-sig")
    encoded = [line if isinstance(line, bytes) else line.encode(plain) for line in (HEADER, *lines)]
    mark = b"\xef\xbb\xbf" if encoding.endswith("-sig") else b""
    path.write_bytes(mark + b"".join(line + b"\r\n" for line in encoded))
    return path


def polled(source: JukiCsSource) -> list[dict[str, Any]]:
    source.open()
    found: list[dict[str, Any]] = []
    while batch := source.poll():
        found += [one for hand_overs in batch for one in hand_overs.table.to_pylist()]
    return found


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp932"])
def test_the_header_decides_the_encoding(tmp_path: Path, encoding: str) -> None:
    """The same rows come out of each encoding, character by character."""
    [notice] = polled(JukiCsSource(written(tmp_path, row(1), encoding=encoding)))
    assert notice["encoding"] == encoding.removesuffix("-sig")
    assert notice["rows"][0]["name"] == "試験　一郎"
    assert (notice["line"], notice["rows"][0]["line"]) == (2, 2)


def test_the_encoding_that_is_said_must_be_the_headers(tmp_path: Path) -> None:
    """An encoding given and not met is an error, not a guess."""
    path = written(tmp_path, row(1), encoding="cp932")
    assert len(polled(JukiCsSource(path, encoding=Encoding.CP932))) == 1
    with pytest.raises(FileFormatError, match="utf-8"):
        JukiCsSource(path, encoding=Encoding.UTF_8).open()


def test_rows_that_follow_each_other_are_one_hand_over(tmp_path: Path) -> None:
    """One number, one hand-over; the number again after another one is another."""
    path = written(
        tmp_path,
        row(1, code="1"),
        row(2, code="2"),
        row(3, "13104-900002"),
        row(4, code="3"),
    )
    assert [[r["number"] for r in n["rows"]] for n in polled(JukiCsSource(path))] == [
        ["1", "2"],
        ["3"],
        ["4"],
    ]


def test_a_person_repeated_begins_another_hand_over(tmp_path: Path) -> None:
    """The same notice handed over twice in a row is two hand-overs."""
    path = written(tmp_path, row(1, code="1"), row(2, code="2"), row(3, code="1"), row(4, code="2"))
    assert [[r["number"] for r in n["rows"]] for n in polled(JukiCsSource(path))] == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("number", ["", "x", "13104"])
def test_rows_without_readable_number_stand_alone(tmp_path: Path, number: str) -> None:
    """What can't be said to belong together is handed over row by row."""
    path = written(tmp_path, row(1, number, "1"), row(2, number, "2"))
    assert [len(notice["rows"]) for notice in polled(JukiCsSource(path))] == [1, 1]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"2,13104-900001,131041,\x81", "encoding"),
        (b"2,13104-900001,131041", "columns"),
        (b'2,13104-900001,"131041', "columns"),
        (row(2).encode() + b",one more", "columns"),
    ],
)
def test_a_row_with_a_fault_stays_in_its_notice_as_it_came(tmp_path: Path, line: bytes, fault: str) -> None:
    """A notice is whole or not at all, so its faulty row travels with the others: raw, with its number."""
    [notice] = polled(JukiCsSource(written(tmp_path, row(1, code="1"), line, row(3, code="3"))))
    faulty = notice["rows"][1]
    assert base64.b64decode(faulty["raw"]) == line
    assert (faulty["fault"], faulty["number"], faulty["notice"]) == (fault, "2", "13104-900001")
    assert faulty["name"] is None
    assert [r["fault"] for r in notice["rows"]] == [None, fault, None]


@pytest.mark.parametrize("undefined", [b"\x80", b"\xa0", b"\xfd", b"\xf0\x40", b"\x85\x40"])
def test_what_cp932_does_not_define_is_not_guessed(tmp_path: Path, undefined: bytes) -> None:
    """Bytes without a meaning, and a municipality's own characters, are faults."""
    line = row(1, name="NAME").encode("cp932").replace(b"NAME", undefined)
    [notice] = polled(JukiCsSource(written(tmp_path, line, encoding="cp932")))
    assert notice["rows"][0]["fault"] == "encoding"


def test_nothing_is_trimmed(tmp_path: Path) -> None:
    """Spaces, variants and quoted commas come out as they stand."""
    name = " 𠮷﨑\U000e0100 "
    [notice] = polled(JukiCsSource(written(tmp_path, row(1, name=f'"{name},""x"""'))))
    assert notice["rows"][0]["name"] == f'{name},"x"'
    assert notice["rows"][0]["moved_from"] == ""


def test_batches_end_between_hand_overs(tmp_path: Path) -> None:
    """However small the batches, hand-overs are the same."""
    rows = [row(n, f"13104-90000{n % 7}", str(n)) for n in range(1, 30)]
    path = written(tmp_path, *rows)
    small = JukiCsSource(path, settings=FileSettings(batch_rows_max=1))
    assert polled(small) == polled(JukiCsSource(path))


def test_a_notice_that_would_be_no_record_is_refused_at_the_door(tmp_path: Path) -> None:
    """Rows without end under one number are refused before anything is published."""
    path = written(tmp_path, *(row(n, code=str(n)) for n in range(1, 12)))
    with pytest.raises(FileLimitError, match="line 2"):
        JukiCsSource(path, settings=FileSettings(submission_rows_max=10)).open()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("juki_131041_2026-03.csv", None, "131041"),
        ("anything.csv", "131041", "131041"),
        ("juki_141097.csv", "131041", "131041"),
        ("juki_131042.csv", None, None),
        ("juki_13104.csv", None, None),
        ("notices_131041.csv", None, None),
    ],
)
def test_whose_file_it_is(tmp_path: Path, name: str, given: str | None, expected: str | None) -> None:
    """The name says it, unless the submitter does; neither is guessed."""
    source = JukiCsSource(written(tmp_path, row(1), name=name), municipality=given)
    if expected is None:
        with pytest.raises(FileNameError):
            source.open()
    else:
        assert source.open() == [Route("juki-cs", expected)]


def test_errors_hold_nothing_of_the_file(tmp_path: Path) -> None:
    """Names and numbers of lines, never content."""
    path = tmp_path / NAME
    path.write_bytes("試験　一郎,42990000011\n".encode())
    with pytest.raises(SourceFileError) as caught:
        JukiCsSource(path).open()
    assert "4299" not in str(caught.value)
    assert "試験" not in str(caught.value)
