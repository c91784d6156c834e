"""A person who moved out and is registered nowhere for 31 days is a conflict, until that is made right.

What these tests submit is received on 1 September 2026.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.processors.fan_out.residents import A, B, C, Resident
from tests.unit.processors.intake_output import day_begun
from tests.unit.processors.two_steps import Row

pytestmark = pytest.mark.unit
KIND = "DEPARTED_NOT_ARRIVED"


def departed(day: str = "08-10", **others: Any) -> Resident:
    """Return a resident of A who moved out to B on a day."""
    resident = Resident()
    resident.submit(A, "初期登録", "01-04")
    resident.submit(A, "転出", day, moved_to=B, **others)
    return resident


def begin(resident: Resident, day: str) -> None:
    """Let a day begin."""
    resident.steps.change([day_begun(f"2026-{day}")])


def changes(resident: Resident) -> list[tuple[str, str, str | None, str]]:
    """Return what was published of departures: status, origin, destination and day."""
    rows = [row for row in resident.steps.outputs.get("conflict", ()) if row["kind"] == KIND]
    return [
        (row["status"], row["municipality"], row["other_municipality"], row["effective_on"].isoformat())
        for row in rows
    ]


def planned(resident: Resident) -> list[str]:
    """Return what is on the agenda because of a departure."""
    return [key for key in resident.steps.fan_out_state["agenda"].values if key.endswith("DEPARTURE")]


def test_the_clock_opens_it_on_the_31st_day() -> None:
    """Not before, and once; nothing of it stays on the agenda."""
    resident = departed()
    assert planned(resident) == ["2026-09-10/p/DEPARTURE"]
    begin(resident, "09-09")
    assert changes(resident) == []
    begin(resident, "09-10")
    begin(resident, "09-20")
    assert changes(resident) == [("OPEN", A, B, "2026-08-10")]
    assert planned(resident) == []


@pytest.mark.parametrize("late", [False, True])
def test_an_arrival_ends_it(late: bool) -> None:
    """A move in that is received in time opens no conflict; a later one withdraws it, whatever its day."""
    resident = departed()
    if late:
        begin(resident, "09-12")
    resident.submit(B, "転入", "08-11", moved_from=A)
    begin(resident, "10-20")
    opened = [("OPEN", A, B, "2026-08-10"), ("WITHDRAWN", A, B, "2026-08-10")]
    assert changes(resident) == (opened if late else [])
    assert planned(resident) == []


def test_a_cancelled_move_out_ends_it() -> None:
    """The person is resident where they were."""
    resident = departed()
    begin(resident, "09-10")
    resident.cancel(A, "09-11", "13104-2")
    begin(resident, "10-20")
    assert [status for status, *_ in changes(resident)] == ["OPEN", "WITHDRAWN"]


def test_a_move_out_that_is_received_late_opens_it_at_once() -> None:
    """So many days after it the person should be registered; a registration that isn't confirmed is none."""
    resident = departed("05-01")
    assert changes(resident) == [("OPEN", A, B, "2026-05-01")]
    resident.submit(C, "転入", "05-02", moved_from=A)
    assert resident.conflict_kinds() == [KIND, "REGISTRATION_UNCONFIRMED"]
    resident.submit(B, "転入", "05-02", moved_from=A)
    assert KIND not in resident.conflict_kinds()


def test_a_second_departure_is_another_conflict() -> None:
    """It is about the last registration that was confirmed."""
    resident = departed("05-01")
    resident.submit(B, "転入", "05-02", moved_from=A)
    resident.submit(B, "転出", "06-01", moved_to=C)
    assert changes(resident)[-1] == ("OPEN", B, C, "2026-06-01")
    assert resident.conflict_kinds() == [KIND]


@pytest.mark.parametrize(
    ("reason", "others"), [("死亡", {}), ("国外転出", {}), ("転出", {"moved_to": "999999"})]
)
def test_who_died_or_went_abroad_has_not_departed_so(reason: str, others: Row) -> None:
    """Nobody waits for them anywhere."""
    resident = Resident()
    resident.submit(A, "初期登録", "01-04")
    resident.submit(A, reason, "05-01", **others)
    begin(resident, "10-20")
    assert changes(resident) == []
    assert planned(resident) == []


def test_where_a_protected_person_goes_is_not_said() -> None:
    """The conflict is without the destination; once the measure ends, it is with it."""
    resident = Resident()
    resident.submit(A, "初期登録", "01-04")
    resident.submit(A, "支援措置開始", "04-01")
    resident.submit(A, "転出", "05-01", moved_to=B)
    assert changes(resident) == [("OPEN", A, None, "2026-05-01")]
