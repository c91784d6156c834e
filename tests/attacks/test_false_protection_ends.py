"""Only the municipality where a person lives can end the protection measure that withholds their address."""

from __future__ import annotations

import pytest

from tests.unit.processors.fan_out.residents import A, B, C, Resident

NATIONAL = ("pension", "nta", "card")


def protected() -> Resident:
    """Return somebody who lives in A, is enrolled in national domains, and is protected since the third of February."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    for domain in (*NATIONAL, "portal"):
        person.enrol(domain, None, "02-02")
    person.submit(A, "支援措置開始", "02-03")
    return person


def addresses(person: Resident) -> set[str | None]:
    """Return the addresses of all rows that aren't closed."""
    return {row["facts"]["address"] for row in person.stores.rows.values() if row["status"] != "closed"}


@pytest.mark.parametrize("day", ["01-01", "02-03", "03-01"])
def test_a_stranger_cannot_lift_it(day: str) -> None:
    """A false registration and the end of the measure there are a conflict; no address is shown, not even S's own."""
    person = protected()
    person.submit(C, "転入", day, moved_from=A)
    person.submit(C, "支援措置終了", "03-02")
    assert addresses(person) == {None}
    assert person.conflict_kinds() == ["PROTECTION_END_UNCONFIRMED", "REGISTERED_TWICE"]


def test_a_stranger_cannot_lift_it_in_transit() -> None:
    """Nobody can while the person is under way; the next home can."""
    person = protected()
    person.submit(A, "転出", "03-01", moved_to=B)
    person.submit(C, "転入", "03-02", moved_from=A)
    person.submit(C, "支援措置終了", "03-03")
    person.submit(B, "転入", "03-04", moved_from=A)
    assert addresses(person) == {None}
    person.submit(B, "支援措置終了", "03-05")
    assert None not in addresses(person)


def test_a_conflict_does_not_say_where_a_protected_person_is() -> None:
    """It names the registration that isn't confirmed only."""
    person = protected()
    person.submit(C, "転入", "03-01", moved_from=A)
    (conflict,) = person.stores.conflicts.values()
    assert (conflict["municipality"], conflict["other_municipality"]) == (C, None)
    assert A not in str(conflict)


def test_messages_say_nothing_about_it() -> None:
    """Others may read a resident's portal."""
    person = protected()
    person.submit(A, "支援措置終了", "03-01")
    person.submit(A, "転居", "03-02", {"address": "二丁目"})
    assert person.message_reasons() == ["MOVED_WITHIN"]
