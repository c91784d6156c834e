"""Submissions that name several persons: what intake demands of them, and the record that each person gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.codes import MESH, CodeKind
from processors.intake import (
    declared_codes,
    resubmissions,
    submission_limits,
    submission_ordering,
    validation,
)
from processors.intake.declared_codes import DECLARED_CODES
from processors.intake.declared_events import DeclaredEventType
from processors.intake.submissions import submissions_of
from processors.intake.validation_codes import ValidationCode
from schemas.declare import MEMBERS_MAX
from schemas.submission_schemas import fields_of_resubmission
from schemas.tables import table_from_rows
from tests.unit.processors.intake.aid import CODES, SCHEMA, SYSTEM, aid_batch, began, cancelled, left
from tests.unit.processors.submissions import Row, key_ring

MESH_CIPHER = key_ring().cipher(MESH)
OTHER = "99999999999"


@pytest.fixture(scope="module")
def aid() -> Iterator[DeclaredEventType]:
    """Return how submissions of the system are processed; its codes follow those of the real systems."""
    codes = (*ValidationCode, *dict.fromkeys((*DECLARED_CODES, *declared_codes.codes_of(SYSTEM))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "_INDEX_OF", {code: index for index, code in enumerate(codes)})
        patch.setattr(validation, "_CODES", pa.array([code.value for code in codes], pa.string()))
        yield DeclaredEventType(SYSTEM)


def codes_of(aid: DeclaredEventType, *rows: Row) -> list[str | None]:
    """Return the code of the first error of each submission; None if it is valid."""
    submissions = submissions_of(aid_batch(*rows))
    errors = aid.validate(submissions, aid.read(submissions))
    codes: list[str | None] = validation.error_codes(errors).to_pylist()
    return codes


def records_of(aid: DeclaredEventType, *rows: Row) -> list[Row]:
    """Return the records of valid submissions."""
    submissions = submissions_of(aid_batch(*rows))
    events = aid.read(submissions)
    records: list[Row] = aid.person_changes(submissions, events, MESH_CIPHER).to_pylist()
    parents = aid.parents(events)
    assert parents is not None
    assert [record["origin"]["offset"] for record in records] == parents.to_pylist()
    return records


def persons_of(records: list[Row]) -> list[str]:
    """Return the resident record codes of the persons of records."""
    values = MESH_CIPHER.values(pa.array([record["person"] for record in records]), CodeKind.PERSON)
    return [value.decode() for value in values.to_pylist()]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (began(), None),
        (began(members=[CODES[0]]), None),
        (began(members=[f"{number:011}" for number in range(MEMBERS_MAX)], head=f"{7:011}"), None),
        (began(code=""), None),
        (left(), None),
        (left(members=[]), None),
        (cancelled(), None),
        (cancelled(members=None, code=CODES[0]), None),
        (left(event="AidJoined", kinds="housing", head=OTHER), None),
        (began(members=[]), "MISSING/members"),
        (began(members=None), "MISSING/members"),
        (began(members=None, code=CODES[0]), "MISSING/members"),
        (began(code=CODES[0]), "UNEXPECTED/code"),
        (cancelled(code=CODES[0]), "UNEXPECTED/code"),
        (cancelled(members=None), "FORM_CODE"),
        (left(members=[CODES[1]]), "UNEXPECTED/members"),
        (left(code=None), "FORM_CODE"),
        (left(code=None, members=[CODES[1]]), "UNEXPECTED/members"),
        (began(members=[*CODES[:3], "4299000001"]), "FORM/members"),
        (began(members=[*CODES[:3], ""]), "FORM/members"),
        (began(members=[f"{number:011}" for number in range(MEMBERS_MAX + 1)]), "MANY/members"),
        (began(members=[*CODES[:3], CODES[0]]), "REPEATED/members"),
        (began(head=OTHER), "NO_MEMBER/head"),
        (began(head="1"), "NO_MEMBER/head"),
        (began(head=None), "MISSING/head"),
        (left(event="AidJoined", kinds="housing", head="1"), "FORM/head"),
        (began(kinds="care,living"), "FORM/kinds"),
        (began(kinds="living,living"), "FORM/kinds"),
        (began(kinds="living,"), "FORM/kinds"),
        (began(kinds="money"), "FORM/kinds"),
        (began(kinds="living,housing,care"), None),
        (began(kinds=""), "MISSING/kinds"),
        (
            {"event": "Enrolled", "code": CODES[0], "effective_on": "2026-03-01", "municipality": "131041"},
            None,
        ),
        (
            {
                "event": "Enrolled",
                "members": [CODES[0]],
                "effective_on": "2026-03-01",
                "municipality": "131041",
            },
            "UNEXPECTED/members",
        ),
    ],
)
def test_the_persons_of_a_submission(aid: DeclaredEventType, row: Row, code: str | None) -> None:
    """One in `code` or several in `members`, as the event demands; a cancellation names them as they were named."""
    assert codes_of(aid, began(), row, left()) == [None, code, None]


def test_each_member_has_a_record(aid: DeclaredEventType) -> None:
    """In the order of the submissions, with the same number, event, origin and digest of all members."""
    records = records_of(aid, left(), began(), cancelled(members=[CODES[1]]))
    assert persons_of(records) == [CODES[1], *CODES[:3], CODES[1]]
    assert [record["event"]["number"] for record in records] == ["a-2", "a-1", "a-1", "a-1", "a-3"]
    digests = [record["event"]["members"] for record in records]
    assert digests[0] is digests[4] is None
    assert len(set(digests[1:4])) == 1
    assert digests[1]
    contents = [{**record, "person": ""} for record in records[1:4]]
    assert contents[0] == contents[1] == contents[2]


def test_another_person_is_named_by_mesh_code(aid: DeclaredEventType) -> None:
    """It is the code that this person's own record has; no resident record code is in any field."""
    records = records_of(aid, began(), left(event="AidJoined", code=CODES[3], kinds="care", head=CODES[0]))
    for record in records:
        assert record["event"]["fields"][2] == records[0]["person"]
    assert not any(code in str(records) for code in CODES)


@settings(max_examples=25)
@given(members=st.permutations(CODES), count=st.integers(2, 4))
def test_the_digest_is_of_the_persons(aid: DeclaredEventType, members: list[str], count: int) -> None:
    """Whatever their order, and another one for other persons."""
    some = members[:count]
    of_some, of_sorted, of_fewer = (
        records_of(aid, cancelled(members=each))[0]["event"]["members"]
        for each in (some, sorted(some), some[1:])
    )
    assert of_some == of_sorted != of_fewer


@settings(max_examples=25)
@given(rows=st.lists(st.sampled_from([began(), left(), cancelled()]), max_size=5))
def test_the_records_do_not_depend_on_the_batch(aid: DeclaredEventType, rows: list[Row]) -> None:
    """One submission after the other gives the same."""
    together = records_of(aid, *rows)
    apart = [record for row in rows for record in records_of(aid, row)]
    assert [{**record, "origin": None} for record in together] == [{**r, "origin": None} for r in apart]


def test_the_members_are_part_of_the_content(aid: DeclaredEventType) -> None:
    """An empty list is none; a text in it can't look like two."""
    lists = [None, [], [CODES[0]], [CODES[0], CODES[1]], [f"{CODES[0]}\x1d{CODES[1]}"], [CODES[1], CODES[0]]]
    submissions = submissions_of(aid_batch(*(began(members=members) for members in lists)))
    contents = aid.canonical_form(aid.read(submissions)).to_pylist()
    assert contents[0] == contents[1]
    assert len(set(contents)) == len(contents) - 1


def test_a_submission_waits_for_those_of_its_members() -> None:
    """Of one with too many, nobody waits: it is rejected whatever comes before."""
    event = began(code=None, cancels=None)
    codes = submission_ordering._MeshCodes(MESH_CIPHER, None)
    scope = submission_ordering._declared_event("aid", is_high=False)(event, codes)
    mesh_codes = MESH_CIPHER.codes(pa.array(CODES[:3]), CodeKind.PERSON).to_pylist()
    assert list(scope.persons) == [None, *mesh_codes]
    many = aid_batch(began(members=[CODES[0]] * (MEMBERS_MAX + 1)), began())
    assert submission_limits.names_too_many(many.table).to_pylist() == [True, False]


@pytest.mark.parametrize("members", [None, list(CODES[:1]), list(CODES[:3])])
def test_members_are_resubmitted_unchanged(
    members: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the command's list of names and values; another field can't be there twice."""
    monkeypatch.setattr(resubmissions, "arrow_schema", lambda _: SCHEMA)
    monkeypatch.setattr("schemas.submission_schemas.GENERATED_SCHEMAS", {"submission-aid": SYSTEM})
    rows: list[dict[str, Any]] = [began(members=members), left(), began(members=members, line=7)]
    held = [fields_of_resubmission("submission-aid", row) for row in rows]
    command: Row = {"command": "RESUBMIT", "origin": {"topic": "in.child", "partition": 0, "offset": 1}}
    table = table_from_rows("operator-command", [command | fields for fields in held])
    lists = table.column("declared").combine_chunks().field("values")
    again = resubmissions._declared_table("submission-aid", lists)
    assert again.to_pylist() == aid_batch(*rows).table.to_pylist()
    assert resubmissions._has_only(SCHEMA, lists).to_pylist() == [True] * 3
    twice = [{"name": "code", "value": CODES[0]}] * 2
    held[0]["declared"]["values"] = twice
    table = table_from_rows("operator-command", [command | fields for fields in held])
    lists = table.column("declared").combine_chunks().field("values")
    assert resubmissions._has_only(SCHEMA, lists).to_pylist() == [False, True, True]
