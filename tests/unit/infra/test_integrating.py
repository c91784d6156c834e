"""docs/integrating.md: every field and every rejection code of the code, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.enrolments.enrolment_row import HEADER as ENROLMENT_HEADER
from connectors.juki_cs.csv_row import HEADER as NOTICE_HEADER
from processors.intake import formats
from processors.intake.declared_codes import DECLARED_CODES
from processors.intake.validation_codes import ValidationCode
from processors.rejections import RejectionCode
from schemas.catalogue import catalogue
from schemas.municipalities import is_municipality
from schemas.submission_schemas import GENERATED_SCHEMAS

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "integrating.md").read_text(encoding="utf-8")
#: Fields that a source fills in about the file that it read, or by which it seals.
OF_SOURCES = frozenset({"file", "line", "encoding", "raw", "fault", "sealed"})


def section(title: str) -> str:
    """Return the text below a heading, to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables in a text, without headers."""
    for table in re.findall(r"^\|(?:.*\n\|)+.*$", text, re.MULTILINE):
        for line in table.split("\n")[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    """Return what stands in code marks."""
    return re.findall("`([^`]+)`", cell)


def english(sentence: str) -> str:
    """Return the English part of a reason."""
    return sentence.partition("。 ")[2]


def documented(title: str) -> dict[str, str]:
    """Return the reason of each code in a section; each has a remedy and occurs once."""
    table = list(rows(section(title)))
    assert all(len(cells) == 3 and cells[2] for cells in table)
    codes = [names(cells[0])[0] for cells in table]
    assert len(codes) == len(set(codes))
    return {code: cells[1] for code, cells in zip(codes, table, strict=True)}


def test_every_code_of_the_register_has_its_reason_and_a_remedy() -> None:
    """The household step and fan-out have no other codes."""
    expected = {code.value: english(code.sentence) for code in RejectionCode}
    assert documented("In the register, and in the history of a person") == expected


def test_every_code_of_intake_has_its_reason_and_a_remedy() -> None:
    """Those of declared fields are documented by kind, but for those about members, which have their own sentences."""
    found = documented("At intake")
    kinds = {code for code in found if code.endswith("/<field>")}
    single = {code: reason for code, reason in found.items() if "/" in code and code not in kinds}
    assert {code: reason for code, reason in found.items() if "/" not in code} == {
        code.value: english(code.sentence) for code in ValidationCode
    }
    declared = {code.value: english(code.sentence) for code in DECLARED_CODES}
    assert single.items() <= declared.items()
    assert {f"{code.partition('/')[0]}/<field>" for code in declared.keys() - single.keys()} == kinds


def leaves(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of the fields without fields of their own."""
    for field in schema["fields"]:
        if field["name"] not in OF_SOURCES:
            yield from _leaves_of(field["type"], f"{prefix}{field['name']}")


def _leaves_of(type_: Any, path: str) -> Iterator[str]:
    options = type_ if isinstance(type_, list) else [type_]
    complex_ = [option for option in options if isinstance(option, dict)]
    if not complex_ or complex_[0]["type"] == "enum":
        yield path
    elif complex_[0]["type"] == "record":
        yield from leaves(complex_[0], f"{path}.")
    elif isinstance(complex_[0]["items"], dict):
        yield from leaves(complex_[0]["items"], f"{path}[].")
    else:
        yield path


def fields_of(schema: str) -> set[str]:
    """Return the paths of a schema's fields that a submitter fills in."""
    return set(leaves(catalogue().schema(schema).json))


def table_of_fields(title: str) -> list[list[str]]:
    """Return fields, form and codes of each row, without the column of a CSV file."""
    return [cells[-3:] for cells in rows(section(title))]


def documented_fields(title: str) -> list[str]:
    """Return all fields of a section's table."""
    return [name for cells in table_of_fields(title) for name in names(cells[0])]


def test_every_field_of_a_notice_is_documented() -> None:
    """In the order of the CSV file's columns, with the JSON field of each."""
    found = documented_fields("A notice")
    assert len(found) == len(set(found))
    assert set(found) == fields_of("juki-notice")
    assert [cells[0] for cells in rows(section("A notice"))] == NOTICE_HEADER.split(",")


def test_every_field_of_an_enrolment_and_of_an_account_is_documented() -> None:
    """The portal submits both in one schema."""
    enrolment, account = documented_fields("An enrolment"), documented_fields("An account")
    assert set(enrolment) == fields_of("enrolment")
    assert [cells[0] for cells in rows(section("An enrolment"))] == ENROLMENT_HEADER.split(",")
    of_portal = {*(f"enrolment.{name}" for name in enrolment), *(f"account.{name}" for name in account)}
    assert of_portal == fields_of("portal-event")


@pytest.mark.parametrize("schema", sorted(GENERATED_SCHEMAS))
def test_the_fields_that_all_declared_events_have_are_documented(schema: str) -> None:
    """The rest are the system's own, which docs/events.md has."""
    found = set(documented_fields("An event of a system's own"))
    own = {field.name for field in GENERATED_SCHEMAS[schema].submitted_fields}
    assert fields_of(schema) - own == found - (
        set() if GENERATED_SCHEMAS[schema].submits_members else {"members"}
    )


TABLES = ("A notice", "An enrolment", "An account", "An event of a system's own")


#: The check of each code whose field has a longest value, and the character that fills such a value.
CHECKS: Mapping[str, tuple[formats.Check, str]] = {
    "FORM_NUMBER": (formats.is_number, "1"),
    "FORM_NOTICE": (formats.is_notice, "Z"),
    "FORM_HOUSEHOLD": (formats.is_household, "1"),
    "FORM_LOCAL_NUMBER": (formats.is_local_number, "1"),
    "FORM_CODE": (formats.is_resident_code, "1"),
    "FORM_NAME": (formats.is_name, "々"),
    "FORM_KANA": (formats.is_kana, "ア"),
    "FORM_RELATIONSHIP": (formats.is_relationship, "子"),
    "FORM_ADDRESS": (formats.is_address, "1"),
    "FORM_ACCOUNT": (formats.is_account, "_"),
    "FORM_HOLDER": (formats.is_holder, "ー"),
    "FORM_BANK": (formats.is_bank, "1"),
    "FORM_BRANCH": (formats.is_branch, "1"),
    "FORM_TYPE": (formats.is_account_type, "普"),
    "FORM_ACCOUNT_NUMBER": (formats.is_account_number, "1"),
}
LENGTH = re.compile(r"(?:1 to |at most |^)(\d+) (?:digits|characters|of A-Z)")


def forms() -> list[tuple[str, int]]:
    """Return each code whose form gives a length, with that length."""
    cells = [cells for title in TABLES for cells in table_of_fields(title)]
    found = [(names(codes)[0], LENGTH.search(form)) for _, form, codes in cells]
    return [(code, int(length[1])) for code, length in found if length is not None and code in CHECKS]


@pytest.mark.parametrize(("code", "length"), forms())
def test_the_longest_value_is_the_one_that_intake_accepts(code: str, length: int) -> None:
    """A value of the documented length is accepted, and one of a character more isn't."""
    check, character = CHECKS[code]
    longest, longer = ((character * count) for count in (length, length + 1))
    if code == "FORM_KANA":
        longest, longer = (f"ア　{value[2:]}" for value in (longest, longer))
    assert check(pa.array([longest, longer])).to_pylist() == [True, False]


def test_every_form_with_a_length_is_tried() -> None:
    """Otherwise the test above would try nothing after a change of words."""
    assert {code for code, _ in forms()} == CHECKS.keys()


def test_every_code_of_a_form_is_beside_a_field() -> None:
    """All but the codes of files and of days; and no code is named that isn't one."""
    beside = {code for title in TABLES for cells in table_of_fields(title) for code in names(cells[2])}
    known = {*(code.value for code in ValidationCode), *(code.value for code in DECLARED_CODES)}
    assert beside <= known
    forms = {code.value for code in ValidationCode if code.value.startswith("FORM_")}
    assert forms - beside == {"FORM_FILE", "FORM_DAY"}


def test_the_example_of_a_check_digit_is_right() -> None:
    """The page computes it."""
    text = section("Fields")
    assert "33, remainder 0" in text
    assert [code for code in names(text) if code.isdigit() and is_municipality(code)] == ["131041"]
