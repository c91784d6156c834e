"""Columns that say less than their field: declared, computed, and sent only when they become different."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pytest

from infra.systems.descriptions import coarser_text
from infra.verification.reference.reference_life import ReferenceLife
from infra.verification.reference.reference_readings import ReadingsOfPerson
from infra.verification.reference.reference_timeline import EntityVersion, ReferenceTimeline
from processors.entities.rows import Row, RowContext, prepared, rows_of
from processors.entities.timeline import Timeline, Values, Version
from schemas.declare import Coarser, DeclarationError, Entity, OneOf, Reads, Steps, choice, opens, text, yen
from schemas.systems import DOMAINS

pytestmark = pytest.mark.unit
CARD = DOMAINS["card"]
FEE = Entity(
    "fee",
    "使用料",
    (
        text("fee_number", "番号", 8),
        choice("levy", "区分", "full", "reduced", "none"),
        yen("amount", "金額").optional().location(),
        text("note", "備考", 8).optional(),
    ),
    (opens("FeeSet", "決定", "levy", "amount", "note"),),
    key=("fee_number",),
)
PAYS = Coarser("levy", OneOf({"yes": ("full", "reduced"), "no": ("none",)}), "pays", "支払")
SIZE = Coarser("amount", Steps("none", {1: "small", 1_000: "large"}), "size", "大きさ")
READS = Reads("fee", FEE, (PAYS, SIZE), "試験", "試験法")
#: From the first, the second and the third of a month on.
VERSIONS: list[tuple[int, Values]] = [
    (1, ("K1", "full", "1", None)),
    (2, ("K1", "reduced", "999", "x")),
    (3, ("K1", "reduced", "1000", "x")),
]


def row(versions: list[tuple[int, Values]], on: int, *, protected: bool = False) -> Row:
    """Return the row of a reading on a day of April."""
    timeline = Timeline({("K1",): [Version(date(2026, 4, day), True, values) for day, values in versions]})
    context = RowContext(date(2026, 4, on), protected, {}, lambda *_: None)
    ((_, found),) = rows_of(timeline, [prepared(CARD, READS)], context)
    return found


def reference_row(versions: list[tuple[int, Values]], on: int) -> dict[str, Any] | None:
    """Return the row of the reference model on a day of April."""
    timeline = ReferenceTimeline()
    timeline.versions[("K1",)] = [
        EntityVersion(
            f"2026-04-{day:02d}", True, dict(zip(FEE.field_names, values, strict=True)), ("2026", None)
        )
        for day, values in versions
    ]
    return ReadingsOfPerson(ReferenceLife(), {"fee": timeline}).row(CARD, READS, ("K1",), f"2026-04-{on:02d}")


def test_the_reader_receives_the_column_and_never_the_field() -> None:
    """The row and its day stay the same until the column becomes another."""
    assert row(VERSIONS, 1) == row(VERSIONS, 2) == Row("active", date(2026, 4, 1), ("K1", "yes", "small"))
    assert row(VERSIONS, 3) == Row("active", date(2026, 4, 3), ("K1", "yes", "large"))
    assert row(VERSIONS, 2).digest == row(VERSIONS, 1).digest != row(VERSIONS, 3).digest


def test_no_value_stays_none_and_a_withheld_field_has_a_withheld_column() -> None:
    """Nothing is said about an amount that isn't known, or that would show where the person is."""
    assert row([(1, ("K1", "none", None, None))], 1).columns == ("K1", "no", None)
    assert row(VERSIONS, 3, protected=True).columns == ("K1", "yes", None)


@pytest.mark.parametrize("seed", range(50))
def test_the_reference_model_agrees(seed: int) -> None:
    """On random amounts around the bounds."""
    rng = Random(seed)  # noqa: S311
    amounts = ["0", "1", "2", "999", "1000", "1001", None]
    levies = FEE.field("levy").choices
    versions: list[tuple[int, Values]] = [
        (day, ("K1", rng.choice(levies), rng.choice(amounts), None)) for day in range(1, 6)
    ]
    for day in range(1, 7):
        found, reference = row(versions, day), reference_row(versions, day)
        assert reference is not None
        assert found.columns == tuple(reference[name] for name in ("fee_number", "pays", "size"))
        assert found.effective_on.isoformat() == reference["effective_on"]


def test_the_rules_are_words() -> None:
    """As `mesh systems show` and `mesh rules explain` print them."""
    assert coarser_text(PAYS) == "pays 支払, made of levy: yes if it is full or reduced, no if it is none"
    assert (
        coarser_text(SIZE) == "size 大きさ, made of amount: none below 1, small from 1 on, large from 1000 on"
    )


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ((replace(PAYS, field="colour"),), "there is no such field"),
        ((replace(PAYS, field="fee_number"),), "it is part of the key, which is always sent"),
        ((replace(PAYS, name="amount"),), "the name is taken"),
        ((replace(PAYS, name="revision"),), "the name is taken"),
        ((replace(PAYS, name="Pays"),), "must be lower-case words joined by underscores"),
        ((replace(PAYS, field="note"),), "note is no choice"),
        ((replace(SIZE, field="levy"),), "levy is no amount"),
        ((replace(PAYS, rule=OneOf({"yes": ("full",), "no": ("none",)})),), "must have one result"),
        ((replace(PAYS, rule=OneOf({"yes": ("full", "none", "reduced"), "no": ("none",)})),), "one result"),
        (
            (replace(PAYS, rule=OneOf({"a": ("full",), "b": ("none",), "c": ("reduced",)})),),
            "it says as much as levy",
        ),
        ((replace(PAYS, rule=OneOf({"yes": ("full", "none", "reduced")})),), "fewer than 2 results"),
        ((replace(SIZE, rule=Steps("none", {})),), "fewer than 2 results"),
        ((replace(SIZE, rule=Steps("none", {9: "a", 3: "b"})),), "its amounts must rise from above 0"),
        ((replace(SIZE, rule=Steps("none", {0: "a"})),), "its amounts must rise from above 0"),
        (("levy", PAYS), "reading fee has both levy and pays, which says less than it"),
        ((PAYS, replace(SIZE, name="pays")), "two coarser columns of the same name"),
    ],
)
def test_a_column_that_makes_no_sense_is_refused(columns: tuple[str | Coarser, ...], sentence: str) -> None:
    """As soon as it is declared."""
    with pytest.raises(DeclarationError, match=sentence):
        replace(READS, columns=columns)
