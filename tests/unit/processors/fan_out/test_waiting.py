"""Entries ahead of their day: nothing in the rows changes until it has come; measures and messages don't wait."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.unit.processors.fan_out.residents import A, B, Resident
from tests.unit.processors.intake_output import day_begun, event
from tests.unit.processors.two_steps import Row, TwoSteps

pytestmark = pytest.mark.unit
DAY = date(2026, 9, 20)


class WaitingResident(Resident):
    """A person registered at A and enrolled in child and portal, on 1 September 2026."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = TwoSteps(serialized=True)
        self.submit(A, "初期登録", "02-01")
        self.enrol("portal", None, "02-01")
        self.enrol("child", A, "02-01")

    def begin(self, day: str) -> dict[str, list[Row]]:
        """Let a day begin."""
        return self.steps.change([day_begun(f"2026-{day}")])

    def statuses(self) -> tuple[str | None, ...]:
        """Return the statuses of the rows at A."""
        return self.status("local-tax", A), self.status("child", A)

    def agenda(self) -> list[str]:
        """Return the days of the agenda for which entries of the history wait."""
        keys = self.steps.fan_out_state["agenda"].values
        return [key.partition("/")[0] for key in keys if key.endswith("/PERSON")]

    @property
    def number_of_last(self) -> str:
        """The number of the last notice of A."""
        return f"{A[:5]}-{self.number}"


def dispatched(outputs: dict[str, list[Row]]) -> list[Any]:
    """Return of each dispatched case: its number, the domains of its changes, whether it waits, and until when."""
    return [
        (
            row["case"]["notice"],
            sorted({each["domain"] for each in row["changes"]}),
            row["waits"],
            row["waiting_until"],
        )
        for row in outputs["case.dispatched"]
    ]


def test_a_move_out_ahead_of_its_day_closes_rows_on_it() -> None:
    """The message goes out at once. On the day the case is dispatched again, with all its changes."""
    person = WaitingResident()
    outputs = person.submit(A, "転出", "09-20", moved_to=B)
    number = person.number_of_last
    assert person.statuses() == ("active", "active")
    assert person.message_reasons() == ["MOVED_OUT"]
    assert dispatched(outputs) == [(number, ["portal"], True, DAY)]
    assert person.agenda() == ["2026-09-20"]
    assert "change.local-tax" not in person.begin("09-19")
    outputs = person.begin("09-20")
    assert person.statuses() == ("closed", "closed")
    assert dispatched(outputs) == [(number, ["child", "local-tax", "portal"], False, DAY)]
    (change,) = outputs["change.local-tax"]
    assert (change["case"]["notice"], change["reason"], change["effective_on"]) == (number, "MOVED_OUT", DAY)
    assert person.message_reasons() == ["MOVED_OUT"]
    assert person.agenda() == []
    assert "change.local-tax" not in person.begin("09-21")


def test_what_takes_effect_on_its_day_does_not_wait() -> None:
    """The day of receipt is one that has begun."""
    person = WaitingResident()
    outputs = person.submit(A, "転出", "09-01", moved_to=B)
    assert person.statuses() == ("closed", "closed")
    assert dispatched(outputs) == [(person.number_of_last, ["child", "local-tax", "portal"], False, None)]


def test_a_later_notice_with_an_earlier_day_comes_first() -> None:
    """The move within takes effect at once, the one ahead of it on its day."""
    person = WaitingResident()
    person.submit(A, "転居", "09-20", {"address": "三丁目"})
    person.submit(A, "転居", "09-10", {"address": "二丁目"})
    assert person.agenda() == ["2026-09-10"]
    person.begin("09-10")
    assert (person.address("local-tax", A), person.agenda()) == ("二丁目", ["2026-09-20"])
    person.begin("09-25")
    assert person.address("local-tax", A) == "三丁目"


def test_a_move_between_municipalities_on_one_day_ahead() -> None:
    """Whichever arrives first, the row at B opens as a candidate because that at A was open until then."""
    for first in ("転出", "転入"):
        person = WaitingResident()
        moves = [
            person.notice_row(A, "転出", "09-20", moved_to=B),
            person.notice_row(B, "転入", "09-20", moved_from=A),
        ]
        for row in moves if first == "転出" else moves[::-1]:
            person.steps.submit([row])
        assert person.statuses() == ("active", "active")
        assert person.status("local-tax", B) is None
        outputs = person.begin("09-20")
        assert person.statuses() == ("closed", "closed")
        assert (person.status("local-tax", B), person.status("child", B)) == ("active", "candidate")
        assert person.conflict_kinds() == []
        assert [each[1:] for each in dispatched(outputs)] == [
            (["child", "local-tax", "portal"], False, DAY)
        ] * 2


def test_a_cancelled_notice_never_takes_effect() -> None:
    """Its case doesn't wait any more. The cancellation has a day of its own, but counts at once."""
    person = WaitingResident()
    person.submit(A, "転出", "09-20", moved_to=B)
    number = person.number_of_last
    outputs = person.cancel(A, "09-25", number)
    assert dispatched(outputs) == [
        (person.number_of_last, ["portal"], False, None),
        (number, ["portal"], False, DAY),
    ]
    outputs = person.begin("09-25")
    assert set(outputs) <= {"case.dispatched"}
    assert outputs.get("case.dispatched", []) == []
    assert person.statuses() == ("active", "active")
    assert person.agenda() == []


def test_a_measure_begins_on_receipt_and_ends_on_its_day() -> None:
    """Whatever else takes effect meanwhile, no domain receives the address in between."""
    person = WaitingResident()
    outputs = person.submit(A, "支援措置開始", "09-10")
    assert person.address("local-tax", A) is None
    assert dispatched(outputs) == [(person.number_of_last, ["child", "local-tax"], True, date(2026, 9, 10))]
    assert len(outputs["protection"]) == 1
    person.submit(A, "転居", "09-01", {"address": "二丁目"})
    assert person.address("local-tax", A) is None
    assert {row["entity"] for row in person.begin("09-10")["change.local-tax"]} == {"PERSON_HISTORY"}
    person.submit(A, "支援措置終了", "09-20")
    assert person.address("local-tax", A) is None
    outputs = person.begin("09-20")
    assert person.address("local-tax", A) == "二丁目"
    (record,) = outputs["protection"]
    assert (record["measures"][0]["until"], record["addresses"]) == (DAY, ["二丁目"])


def test_an_end_before_the_day_of_the_next_measure_shows_nothing() -> None:
    """The next measure was received: it is in force although its day comes after that of the end."""
    person = WaitingResident()
    person.submit(A, "支援措置開始", "08-01")
    person.submit(A, "支援措置終了", "09-10")
    person.submit(A, "支援措置開始", "09-20")
    for day in ("09-10", "09-15", "09-20", "09-30"):
        person.begin(day)
        assert person.address("local-tax", A) is None, day


def test_a_birth_with_a_measure_hides_what_is_known_already() -> None:
    """Also if the birth itself waits, and another municipality registers the child before."""
    child = Resident()
    child.submit(A, "出生", "09-20", {"protected": True})
    assert child.stores.rows == {}
    child.submit(B, "転入", "09-01", moved_from=A)
    assert child.address("local-tax", B) is None
    child.steps.change([day_begun("2026-09-20")])
    assert (child.status("local-tax", A), child.address("local-tax", B)) == ("active", None)


def test_enrolments_and_accounts_wait() -> None:
    """A repetition meanwhile is a duplicate."""
    person = WaitingResident()
    for _ in range(2):
        person.enrol("nta", None, "09-20")
        person.account("REGISTERED", "one", "09-20")
    assert [code for _, code in person.steps.rejection_codes()] == ["DUPLICATE"] * 2
    assert (person.status("nta"), person.account_status("portal")) == (None, None)
    outputs = person.begin("09-20")
    assert (person.status("nta"), person.account_status("portal")) == ("active", "active")
    assert "case.dispatched" not in outputs
    assert all(row["case"] is None for row in outputs["change.nta"])
    for _ in range(2):
        person.enrol("nta", None, "09-20")
    assert [code for _, code in person.steps.rejection_codes()] == ["DUPLICATE"] * 4


def test_messages_are_those_of_the_whole_history() -> None:
    """An enrolment that waits brings messages at once, as one that doesn't; the day brings none again."""
    person = Resident()
    person.submit(A, "初期登録", "09-10")
    person.submit(A, "転居", "09-20", {"address": "二丁目"})
    person.enrol("portal", None, "09-15")
    assert person.message_reasons() == ["MOVED_WITHIN"]
    person.steps.change([day_begun("2026-09-30")])
    assert person.message_reasons() == ["MOVED_WITHIN"]


def test_what_waits_takes_effect_before_the_next_record_of_the_person() -> None:
    """If a record arrives on the day before its portion of the agenda was worked off: each has its own changes."""
    person = WaitingResident()
    person.submit(A, "転居", "09-20", {"address": "二丁目"})
    waited = person.number_of_last
    renamed = person.steps.accept_notices([person.notice_row(A, "氏名変更", "09-20", {"name": "新　姓"})])
    outputs = person.steps.change([day_begun("2026-09-20"), *renamed])
    assert [each[0] for each in dispatched(outputs)] == [waited, person.number_of_last]
    assert [row["reason"] for row in outputs["change.local-tax"]] == ["MOVED_WITHIN", "NAME_CHANGED"]
    assert person.agenda() == []


def test_a_certificate_follows_on_the_day() -> None:
    """A death ahead of its day revokes it then; if it is cancelled before, it never does."""
    for is_cancelled in (False, True):
        person = WaitingResident()
        person.steps.change(
            [
                event(
                    "jpki",
                    "CertificateIssued",
                    "p",
                    "2026-03-01",
                    "1",
                    serial="S",
                    usage="signature",
                    expires_on="2031-03-01",
                )
            ]
        )
        person.submit(A, "死亡", "09-20")
        if is_cancelled:
            person.cancel(A, "09-05", person.number_of_last)
        for day, expected in (("09-19", "valid"), ("09-20", "valid" if is_cancelled else "revoked")):
            person.begin(day)
            (row,) = [
                row for key, row in person.stores.readings.items() if key[:2] == ("jpki", "certificate")
            ]
            assert row["validity"] == expected, (day, is_cancelled)


@pytest.mark.parametrize("days", [("09-20", "08-20"), ("08-25", "08-20")])
def test_a_measure_that_began_earlier_dates_the_rows_of_readings(days: tuple[str, str]) -> None:
    """Whichever of two measures arrives first, ahead of its day or not, the address is withheld since the first."""
    for order in (days, days[::-1]):
        person = WaitingResident()
        fields = {"certificate_serial": "S", "usage": "signature", "valid_until": "2031-03-01"}
        person.steps.change([event("jpki", "CertificateIssued", "p", "2026-03-01", "1", **fields)])
        for day in order:
            person.submit(A, "支援措置開始", day)
        (row,) = [row for key, row in person.stores.readings.items() if key[:2] == ("jpki", "holder")]
        assert (row["address"], row["effective_on"]) == (None, date(2026, 8, 20))
