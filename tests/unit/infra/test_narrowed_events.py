"""`mesh apply` refuses declarations by which a replay would reject events that were accepted before."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.apply import narrowed_events
from infra.apply.accepted_events import declared_events, events_of
from infra.apply.applied_declarations import AppliedDeclarations, applied_declarations, write_applied
from infra.apply.checks import check_events
from infra.apply.installation import Installation
from infra.apply.topics_and_acls import ApplyError
from schemas.declare import Entity, choice, closes, day, flags, opens, text
from schemas.systems import SYSTEMS
from schemas.systems.model import Scope, System, submission_schema

pytestmark = pytest.mark.unit


def booklet(
    *,
    serial: str = "^[0-9]{4}$",
    serial_max: int = 8,
    grades: tuple[str, ...] = ("1", "2"),
    note: str = "^[a-z]*$",
    needs: tuple[str, ...] = ("living", "housing"),
    brings: tuple[str, ...] = ("grade", "note", "needs", "until"),
) -> Entity:
    """Return an entity whose event brings these fields, of which the notes are optional."""
    return Entity(
        "booklet",
        "手帳",
        key=("serial",),
        fields=(
            text("serial", "番号", serial_max, serial),
            choice("grade", "等級", *grades),
            text("note", "備考", 9, note).optional(),
            flags("needs", "扶助", *needs),
            day("until", "期限").optional(),
            text("place", "場所", 9).optional(),
        ),
        events=(opens("Issued", "交付", *brings), closes("Returned", "返還")),
    )


def fault(monkeypatch: pytest.MonkeyPatch, after: Entity | None, before: Entity | None = None) -> str | None:
    """Return the fault of a declaration after another one was applied; None: the entity is left out."""
    owns = () if after is None else (after,)
    publishes = submission_schema("booklet") if owns else None
    system = System("booklet", "手帳管理", Scope.NATIONAL, publishes=publishes, owns=owns)
    monkeypatch.setattr(narrowed_events, "SYSTEMS", {"booklet": system})
    return narrowed_events.narrowed({"booklet": events_of(before or booklet())})


WIDER: dict[str, Callable[[], Entity | None]] = {
    "the same": booklet,
    "a value more": lambda: booklet(grades=("3", "1", "2")),
    "longer": lambda: booklet(serial_max=9),
    "a pattern beside": lambda: booklet(serial="^([0-9]{4}|[A-Z]{4})$"),
    "parentheses": lambda: booklet(serial=r"^([0-9]{4}|[(](a|b)\))$"),
    "a flag between": lambda: booklet(needs=("living", "medical", "housing")),
    "an optional field more": lambda: booklet(brings=("grade", "note", "needs", "until", "place")),
    "no entity": lambda: None,
}


@pytest.mark.parametrize("name", WIDER)
def test_more_may_be_accepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What was accepted still is. Of an entity that isn't declared there are no rows."""
    assert fault(monkeypatch, WIDER[name]()) is None


def _with_field(entity: Entity, name: str, **changes: object) -> Entity:
    fields = tuple(
        replace(field, **changes) if field.name == name else field  # type: ignore[arg-type]
        for field in entity.fields
    )
    return replace(entity, fields=fields)


def _with_place() -> Entity:
    return booklet(brings=("grade", "note", "needs", "until", "place"))


def _with_event(entity: Entity, **changes: object) -> Entity:
    return replace(entity, events=(replace(entity.events[0], **changes), *entity.events[1:]))  # type: ignore[arg-type]


NARROWER: dict[str, tuple[Callable[[], Entity], str]] = {
    "event": (lambda: _with_event(booklet(), name="Begun"), "event Issued is gone"),
    "persons": (booklet, "names several persons no longer"),
    "person": (lambda: _with_event(booklet(), of_members=True), "names one person no longer"),
    "brought": (lambda: booklet(brings=("grade", "needs", "until")), "event Issued brings note no longer"),
    "needed": (lambda: _with_field(booklet(), "note", is_optional=False), "field note is not optional any"),
    "type": (lambda: _with_field(booklet(), "until", type="string"), "field until has another type"),
    "value": (lambda: booklet(grades=("1", "3")), "field grade has the value 2 no longer"),
    "text": (lambda: booklet(serial_max=7), "field serial has at most 7 characters, and had 8"),
    "pattern": (lambda: booklet(serial="^[1-9]{4}$"), r"begin it with the one of before, as in \^\(\[0-9\]"),
    "part": (lambda: booklet(serial="^([0-9]{4}|[A-Z]{4})(x|y)$"), "field serial has another pattern"),
    "to free": (lambda: booklet(note=""), "field note has another pattern"),
    "from free": (
        lambda: _with_field(_with_place(), "place", pattern="^[a-z]*$"),
        "field place is free text no",
    ),
    "flag": (lambda: booklet(needs=("housing", "living")), "field needs has other values, or in another"),
    "flags": (lambda: booklet(needs=("living",)), "field needs has at most 6 characters"),
}


@pytest.mark.parametrize("name", NARROWER)
def test_nothing_may_be_accepted_no_longer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The sentence names entity, event and field."""
    after, expected = NARROWER[name]
    applied = _with_place() if name == "from free" else booklet()
    before = _with_event(applied, of_members=name == "persons")
    found = fault(monkeypatch, after(), before) or ""
    assert found.startswith("entity booklet: event ")
    assert re.search(expected, found), found


def test_apply_refuses_with_the_sentence(tmp_path: Path) -> None:
    """An installation that was applied by an earlier release has no events to compare with."""
    installation = Installation(tmp_path)
    check_events(installation)
    events = declared_events()
    card = next(iter(events["card"].values()))
    applied = AppliedDeclarations(number=1, digest="x", events=events)
    write_applied(installation, applied)
    assert applied_declarations(installation) == applied
    check_events(installation)
    write_applied(installation, applied.model_copy(update={"events": {"card": {"CardMelted": card}}}))
    with pytest.raises(ApplyError, match="entity card: event CardMelted is gone; what was accepted before"):
        check_events(installation)


def test_every_declared_system_accepts_what_it_accepts() -> None:
    """Nothing may be applied again, with patterns, flags and persons as they are in the declarations of today."""
    events = declared_events()
    assert events.keys() == {entity.id for system in SYSTEMS.values() for entity in system.owns}
    assert narrowed_events.narrowed(events) is None
