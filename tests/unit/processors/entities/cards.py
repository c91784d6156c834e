"""Submissions about an entity of these tests: a library card, with everything that an entity can declare."""

from __future__ import annotations

from datetime import date, timedelta

from processors.entities.rows import PreparedReading, prepared
from processors.entities.timeline import Submission
from schemas.declare import (
    AtMostOneInForce,
    Entity,
    FinalValue,
    Reads,
    changes,
    choice,
    closes,
    opens,
    text,
)
from schemas.systems import DOMAINS

LIBRARY_CARD = Entity(
    "library-card",
    "図書館カード",
    key=("serial",),
    fields=(
        text("serial", "番号", 8),
        choice("state", "状態", "active", "lost", "void"),
        text("branch", "館", 20).optional().location(),
        text("remark", "備考", 20).optional(),
    ),
    events=(
        opens("CardIssued", "交付", "branch", "remark", state="active"),
        changes("BranchChanged", "館の変更", "branch"),
        changes("CardLost", "紛失", state="lost"),
        changes("CardFound", "発見", state="active"),
        changes("CardVoided", "失効", state="void"),
        closes("CardReturned", "返納"),
    ),
    invariants=(AtMostOneInForce("state", ("active",)), FinalValue("state", "void")),
)
READING = prepared(
    DOMAINS["card"],
    Reads("library_card", LIBRARY_CARD, ("state", "branch"), purpose="貸出し", basis="図書館法"),
)
READINGS: tuple[PreparedReading, ...] = (READING,)
FIRST = date(2026, 4, 1)


def day(number: int) -> date:
    """Return a day by its number, from 1."""
    return FIRST + timedelta(days=number - 1)


def submission(
    event: str,
    on: int,
    serial: str = "A",
    *,
    number: str = "",
    received: int = 0,
    cancels: str | None = None,
    **fields: str,
) -> Submission:
    """Return a submission about a library card that takes effect on the day with this number."""
    values = {"serial": serial, **fields}
    return Submission(
        system="library",
        part=None,
        number=number or f"{event}-{serial}-{on}",
        event=event,
        effective_on=day(on),
        recorded_on=day(on),
        received=f"{received:013d}",
        cancels=cancels,
        fields=tuple(values.get(name) for name in LIBRARY_CARD.field_names),
    )


def cancelled(earlier: Submission, *, received: int = 0) -> Submission:
    """Return the submission that takes back an earlier one."""
    return earlier._replace(
        number=f"x{earlier.number}",
        event="Cancelled",
        cancels=earlier.number,
        received=f"{received:013d}",
        fields=(),
    )
