"""The source of juki-cs: encodings, faults of rows, and the rows of one submission."""

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
    """Return a CSV row."""
    return (
        f"{number},{notice},131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,{code},{name},"
        "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区西新宿1丁目1番1号,,,0,"
    )


def write_file(folder: Path, *lines: str | bytes, encoding: str = "utf-8-sig", name: str = NAME) -> Path:
    """Write a file with the header and these lines."""
    path = folder / name
    plain = encoding.removesuffix("-sig")
    encoded = [line if isinstance(line, bytes) else line.encode(plain) for line in (HEADER, *lines)]
    byte_order_mark = b"\xef\xbb\xbf" if encoding.endswith("-sig") else b""
    path.write_bytes(byte_order_mark + b"".join(line + b"\r\n" for line in encoded))
    return path


def poll_all(source: JukiCsSource) -> list[dict[str, Any]]:
    """Return all submissions of a source."""
    source.open()
    submissions: list[dict[str, Any]] = []
    while batches := source.poll():
        submissions += [row for batch in batches for row in batch.table.to_pylist()]
    return submissions


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp932"])
def test_the_header_decides_the_encoding(tmp_path: Path, encoding: str) -> None:
    """Each encoding gives the same rows, character by character."""
    [notice] = poll_all(JukiCsSource(write_file(tmp_path, row(1), encoding=encoding)))
    assert notice["encoding"] == encoding.removesuffix("-sig")
    assert notice["rows"][0]["name"] == "試験　一郎"
    assert (notice["line"], notice["rows"][0]["line"]) == (2, 2)


def test_an_encoding_that_is_not_the_headers_is_an_error(tmp_path: Path) -> None:
    """An encoding that is passed must be the one of the header."""
    path = write_file(tmp_path, row(1), encoding="cp932")
    assert len(poll_all(JukiCsSource(path, encoding=Encoding.CP932))) == 1
    with pytest.raises(FileFormatError, match="utf-8"):
        JukiCsSource(path, encoding=Encoding.UTF_8).open()


def test_consecutive_rows_of_a_notice_are_one_submission(tmp_path: Path) -> None:
    """If its number occurs again after another one, that is another submission."""
    path = write_file(
        tmp_path,
        row(1, code="1"),
        row(2, code="2"),
        row(3, "13104-900002"),
        row(4, code="3"),
    )
    assert [[r["number"] for r in n["rows"]] for n in poll_all(JukiCsSource(path))] == [
        ["1", "2"],
        ["3"],
        ["4"],
    ]


def test_a_repeated_person_starts_another_submission(tmp_path: Path) -> None:
    """A notice that is submitted twice in a row gives two submissions."""
    path = write_file(tmp_path, row(1, code="1"), row(2, code="2"), row(3, code="1"), row(4, code="2"))
    assert [[r["number"] for r in n["rows"]] for n in poll_all(JukiCsSource(path))] == [
        ["1", "2"],
        ["3", "4"],
    ]


@pytest.mark.parametrize("number", ["", "x_1", "13104-９", "1" * 33])
def test_a_row_without_readable_number_is_a_submission_of_its_own(tmp_path: Path, number: str) -> None:
    """Such rows cannot be known to belong together."""
    path = write_file(tmp_path, row(1, number, "1"), row(2, number, "2"))
    assert [len(notice["rows"]) for notice in poll_all(JukiCsSource(path))] == [1, 1]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"2,13104-900001,131041,\x81", "encoding"),
        (b"2,13104-900001,131041", "columns"),
        (b'2,13104-900001,"131041', "columns"),
        (row(2).encode() + b",one more", "columns"),
    ],
)
def test_a_row_with_a_fault_stays_raw_in_its_notice(tmp_path: Path, line: bytes, fault: str) -> None:
    """A notice is accepted or rejected with all its rows, so such a row is submitted with the others."""
    [notice] = poll_all(JukiCsSource(write_file(tmp_path, row(1, code="1"), line, row(3, code="3"))))
    faulty = notice["rows"][1]
    assert base64.b64decode(faulty["raw"]) == line
    assert (faulty["fault"], faulty["number"], faulty["notice"]) == (fault, "2", "13104-900001")
    assert faulty["name"] is None
    assert [r["fault"] for r in notice["rows"]] == [None, fault, None]


@pytest.mark.parametrize("undefined", [b"\x80", b"\xa0", b"\xfd", b"\xf0\x40", b"\x85\x40"])
def test_bytes_that_cp932_does_not_define_are_a_fault(tmp_path: Path, undefined: bytes) -> None:
    """So are a municipality's own characters (gaiji)."""
    line = row(1, name="NAME").encode("cp932").replace(b"NAME", undefined)
    [notice] = poll_all(JukiCsSource(write_file(tmp_path, line, encoding="cp932")))
    assert notice["rows"][0]["fault"] == "encoding"


def test_text_is_not_changed(tmp_path: Path) -> None:
    """Spaces, character variants and quoted commas are kept."""
    name = " 𠮷﨑\U000e0100 "
    [notice] = poll_all(JukiCsSource(write_file(tmp_path, row(1, name=f'"{name},""x"""'))))
    assert notice["rows"][0]["name"] == f'{name},"x"'
    assert notice["rows"][0]["moved_from"] == ""


def test_batches_do_not_split_submissions(tmp_path: Path) -> None:
    """However small the batches, the submissions are the same."""
    rows = [row(n, f"13104-90000{n % 7}", str(n)) for n in range(1, 30)]
    path = write_file(tmp_path, *rows)
    with_small_batches = JukiCsSource(path, settings=FileSettings(batch_rows_max=1))
    assert poll_all(with_small_batches) == poll_all(JukiCsSource(path))


def test_a_notice_with_too_many_rows_rejects_the_file(tmp_path: Path) -> None:
    """It is rejected before anything is published."""
    path = write_file(tmp_path, *(row(n, code=str(n)) for n in range(1, 12)))
    with pytest.raises(FileLimitError, match="line 2"):
        JukiCsSource(path, settings=FileSettings(submission_rows_max=10)).open()


@pytest.mark.parametrize(
    ("name", "municipality", "expected"),
    [
        ("juki_131041_2026-03.csv", None, "131041"),
        ("anything.csv", "131041", "131041"),
        ("juki_141097.csv", "131041", "131041"),
        ("juki_131042.csv", None, None),
        ("juki_13104.csv", None, None),
        ("notices_131041.csv", None, None),
    ],
)
def test_the_municipality_is_passed_or_in_the_name(
    tmp_path: Path, name: str, municipality: str | None, expected: str | None
) -> None:
    """One that is passed overrides the name; a code with a wrong check digit is an error."""
    source = JukiCsSource(write_file(tmp_path, row(1), name=name), municipality=municipality)
    if expected is None:
        with pytest.raises(FileNameError):
            source.open()
    else:
        assert source.open() == [Route("juki-cs", expected)]


def test_errors_show_no_content(tmp_path: Path) -> None:
    """They have names of files and numbers of lines."""
    path = tmp_path / NAME
    path.write_bytes("試験　一郎,42990000011\n".encode())
    with pytest.raises(SourceFileError) as caught:
        JukiCsSource(path).open()
    assert "4299" not in str(caught.value)
    assert "試験" not in str(caught.value)
