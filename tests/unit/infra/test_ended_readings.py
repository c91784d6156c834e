"""`mesh apply` lets a reading go only after its rows are gone, and no field of an entity go or change its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.apply import ended_readings
from infra.apply.applied_declarations import AppliedDeclarations, declared_readings, write_applied
from infra.apply.checks import check_fields
from infra.apply.ended_readings import check_taken_away
from infra.apply.installation import Installation
from infra.apply.topics_and_acls import ApplyError
from infra.environment import Environment
from infra.monitoring.adoption_progress import AdoptionProgress

pytestmark = pytest.mark.unit
#: It is never connected to.
ENVIRONMENT = Environment.model_construct()  # type: ignore[call-arg]


def check(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    applied: dict[str, bool],
    complete: int = 4,
    with_rows: tuple[str, ...] = (),
) -> None:
    """Check the declarations of today after these readings were applied, each with whether it has ended."""
    installation = Installation(folder)
    readings = declared_readings() | applied
    write_applied(
        installation, AppliedDeclarations(number=2, digest="x", is_submitted=True, readings=readings)
    )
    progress = AdoptionProgress(2, 4, complete, 10)
    monkeypatch.setattr(ended_readings, "adoption_progress", lambda *_: progress)
    monkeypatch.setattr(
        ended_readings, "tables_with_rows", lambda _, names: [n for n in names if n in with_rows]
    )
    check_taken_away(ENVIRONMENT, installation)


def test_a_reading_must_end_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody could delete the rows of a table that isn't declared."""
    with pytest.raises(
        ApplyError, match=r"library\.reader is not declared any more, but its rows are not taken"
    ):
        check(monkeypatch, tmp_path, applied={"library.reader": False})


def test_its_end_must_be_adopted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Until then rows may still be deleted."""
    with pytest.raises(
        ApplyError, match=r"end is not adopted yet \(declarations 2 are being adopted: 3 of 4"
    ):
        check(monkeypatch, tmp_path, applied={"library.reader": True}, complete=3)


def test_its_table_must_be_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is deleted may still be on its way to the store."""
    with pytest.raises(ApplyError, match=r"library\.reader .* still has rows"):
        check(monkeypatch, tmp_path, applied={"library.reader": True}, with_rows=("library.reader",))


def test_then_it_may_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of readings that are declared don't matter."""
    check(monkeypatch, tmp_path, applied={"library.reader": True}, with_rows=("card.card",))


@pytest.mark.parametrize("name", ["entity card", "reading card.card"])
@pytest.mark.parametrize(
    ("before", "is_good"),
    [(("serial", "kind"), True), (("kind", "serial"), False), (("serial", "lost_field", "kind"), False)],
)
def test_fields_stay_where_they_were(
    tmp_path: Path, name: str, before: tuple[str, ...], is_good: bool
) -> None:
    """Values are stored and sent in the order of the fields; a new one comes after those applied before."""
    installation = Installation(tmp_path)
    write_applied(
        installation, AppliedDeclarations(number=2, digest="x", fields={name: before, "entity gone": ("a",)})
    )
    if is_good:
        check_fields(installation)
        return
    with pytest.raises(ApplyError, match=rf"{name} had the fields .* only add fields at the end"):
        check_fields(installation)
