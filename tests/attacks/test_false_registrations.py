"""A municipality that registers somebody who lives elsewhere gets nothing for it, and changes nothing elsewhere.

The person of all tests lives in A, is enrolled in child and care there, in pension, nta, card and portal, and has an
account. S is the municipality whose word doesn't count.
"""

from __future__ import annotations

import random

import pytest

from tests.unit.processors.fan_out.residents import A, B, C, Resident

S = C
ADDRESS = "131041 一丁目"
ENTERING = ("転入", "国外転入", "初期登録", "出生")


def resident() -> Resident:
    """Return the person of these tests."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    for domain in ("child", "care"):
        person.enrol(domain, A, "02-02")
    for domain in ("pension", "nta", "card", "portal"):
        person.enrol(domain, None, "02-02")
    person.account("REGISTERED", "one", "02-03")
    return person


def assert_unharmed(person: Resident, address: str | None = ADDRESS, status: str = "active") -> None:
    """Check that S has only what it gave itself, and that national domains show where the person lives."""
    for domain in ("local-tax", "child"):
        assert person.account_status(domain, S) is None
    # What S itself said of a birth may be in its own row; what others know of the person is in none.
    assert person.status("care", S) is None
    for domain in ("pension", "nta", "card"):
        assert (person.status(domain), person.address(domain)) == (status, address)
    assert person.account_status("pension") == ("active" if status == "active" else None)


@pytest.mark.parametrize("reason", ENTERING)
@pytest.mark.parametrize("day", ["01-01", "02-01", "03-01"], ids=["before", "same day", "after"])
def test_a_false_registration(reason: str, day: str) -> None:
    """It is accepted, opens the municipality's own row, and is a conflict; back-dated or not."""
    person = resident()
    person.submit(S, reason, day, moved_from=A if reason == "転入" else None)
    assert person.steps.rejection_codes() == []
    assert person.status("local-tax", S) == "active"
    assert person.conflict_kinds() == ["REGISTERED_TWICE"]
    assert person.account_status("local-tax", A) == person.account_status("child", A) == "active"
    assert_unharmed(person)


@pytest.mark.parametrize("reason", ENTERING)
@pytest.mark.parametrize("day", ["03-02", "01-01"], ids=["in transit", "back-dated"])
def test_a_false_registration_of_somebody_in_transit(reason: str, day: str) -> None:
    """The person has left A for B and isn't registered there yet; then B, and nobody else, gets everything."""
    person = resident()
    person.submit(A, "転出", "03-01", moved_to=B)
    person.submit(S, reason, day, moved_from=A if reason == "転入" else None)
    assert person.conflict_kinds() == ["DEPARTED_NOT_ARRIVED", "REGISTRATION_UNCONFIRMED"]
    assert_unharmed(person)
    person.submit(B, "転入", "03-03", moved_from=A)
    assert_unharmed(person, "011002 一丁目")
    assert (person.status("child", B), person.status("care", B)) == ("candidate", "candidate")
    assert person.account_status("local-tax", B) == person.account_status("child", B) == "active"


@pytest.mark.parametrize("reason", ENTERING)
def test_a_registration_of_somebody_dead(reason: str) -> None:
    """Nothing opens again, and the account isn't shown."""
    person = resident()
    person.submit(A, "死亡", "03-01")
    person.submit(S, reason, "03-02", moved_from=A if reason == "転入" else None)
    assert person.conflict_kinds() == ["REGISTRATION_UNCONFIRMED"]
    assert_unharmed(person, None, "closed")


@pytest.mark.parametrize("reason", ENTERING)
@pytest.mark.parametrize("days", [("03-01", "03-02"), ("01-01", "01-02")], ids=["after", "before"])
def test_a_death_by_a_stranger(reason: str, days: tuple[str, str]) -> None:
    """A false registration and a death after it close nothing, also where both are dated before the true one."""
    person = resident()
    person.submit(S, reason, days[0], moved_from=A if reason == "転入" else None)
    person.submit(S, "死亡", days[1])
    assert_unharmed(person)
    assert person.account_status("local-tax", A) == person.account_status("child", A) == "active"
    assert person.status("local-tax", S) == "closed"
    person.submit(A, "転居", "03-05", {"address": "二丁目"})
    assert person.address("pension") == "二丁目"


@pytest.mark.parametrize("reason", ENTERING)
def test_a_move_out_by_a_stranger_names_nobody(reason: str) -> None:
    """What S says about where the person moves on has no weight; what A says has."""
    person = resident()
    person.submit(S, reason, "03-01", moved_from=A if reason == "転入" else None)
    person.submit(S, "転出", "03-02", moved_to=S)
    person.submit(A, "転出", "03-03", moved_to=B)
    person.submit(B, "転入", "03-04", moved_from=A)
    assert person.conflict_kinds() == []
    assert_unharmed(person, "011002 一丁目")
    assert person.status("care", B) == "candidate"


def test_a_former_home_that_takes_its_move_out_back() -> None:
    """It has its own row again, and nothing else: B was registered while the move out stood."""
    person = resident()
    person.submit(A, "転出", "03-01", moved_to=B)
    out = f"{A[:5]}-{person.number}"
    person.submit(B, "転入", "03-02", moved_from=A)
    person.cancel(A, "03-01", out)
    assert person.conflict_kinds() == ["REGISTERED_TWICE"]
    assert (person.status("local-tax", A), person.status("local-tax", B)) == ("active", "active")
    assert (person.account_status("local-tax", A), person.account_status("local-tax", B)) == (None, "active")
    assert person.address("pension") == "011002 一丁目"
    person.submit(A, "転出", "03-05", moved_to=S)
    person.submit(S, "転入", "03-06", moved_from=A)
    assert_unharmed(person, "011002 一丁目")


def test_a_former_home_that_takes_its_move_out_back_while_nobody_has_the_person() -> None:
    """The person is back as before, also where a stranger has registered them meanwhile."""
    person = resident()
    person.submit(A, "転出", "03-01", moved_to=B)
    out = f"{A[:5]}-{person.number}"
    person.submit(S, "転入", "03-02", moved_from=A)
    person.cancel(A, "03-01", out)
    assert_unharmed(person)
    assert person.status("care", A) == "active"
    assert person.account_status("local-tax", A) == person.account_status("child", A) == "active"


def test_a_death_entered_by_mistake_is_undone() -> None:
    """All is as before, also in national domains, whoever registered the person meanwhile."""
    person = resident()
    before = person.stores.rows.copy()
    person.submit(A, "死亡", "03-01")
    death = f"{A[:5]}-{person.number}"
    person.submit(S, "転入", "03-02", moved_from=A)
    person.cancel(A, "03-01", death)
    assert_unharmed(person)
    after = {key: row for key, row in person.stores.rows.items() if key[2] != S}
    assert after == before


def test_the_next_registration_takes_effect_when_the_confirmed_one_ends() -> None:
    """A move in dated before its move out: candidates, national columns and account follow with the move out."""
    person = resident()
    person.submit(B, "転入", "03-01", moved_from=A)
    person.submit(B, "転居", "03-02", {"address": "二丁目"})
    assert (person.address("local-tax", B), person.status("care", B)) == ("二丁目", None)
    assert_unharmed(person)
    person.submit(A, "転出", "03-03", moved_to=B)
    assert person.conflict_kinds() == []
    assert_unharmed(person, "二丁目")
    row = person.row("care", B)
    assert row is not None
    assert (row["status"], str(row["effective_on"])) == ("candidate", "2026-03-03")
    account = person.stores.accounts["local-tax", "p", B]
    assert (account["status"], str(account["effective_on"])) == ("active", "2026-03-03")


def test_a_clerk_settles_a_conflict() -> None:
    """The registration that the clerk names counts until that is taken back; the other stays unconfirmed."""
    person = resident()
    person.submit(S, "転入", "03-01", moved_from=A)
    number = f"{S[:5]}-{person.number}"
    person.settle(S, number, S)
    assert person.conflict_kinds() == []
    assert (person.address("pension"), person.account_status("local-tax", S)) == ("271004 一丁目", "active")
    assert person.account_status("local-tax", A) is None
    person.submit(S, "死亡", "03-05")
    assert person.status("pension") == "closed"
    person.settle(S, number, S, taken_back=True)
    assert person.address("pension") == ADDRESS
    assert person.account_status("local-tax", A) == "active"


def test_a_clerk_settles_against_a_registration() -> None:
    """It stays unconfirmed even when the other ends, and isn't listed as open any more."""
    person = resident()
    person.submit(B, "転入", "03-01", moved_from=A)
    number = f"{B[:5]}-{person.number}"
    person.settle(B, number, A)
    assert person.conflict_kinds() == []
    person.submit(A, "転出", "03-05", moved_to=B)
    assert person.account_status("local-tax", B) is None
    person.settle(B, number, A, taken_back=True)
    assert person.account_status("local-tax", B) == "active"


def test_a_clerk_admits_a_destination_that_the_move_out_did_not_name() -> None:
    """And somebody who was listed as dead."""
    person = resident()
    person.submit(A, "転出", "03-01", moved_to=B)
    person.submit(S, "転入", "03-02", moved_from=A)
    person.settle(S, f"{S[:5]}-{person.number}", S)
    assert (person.address("pension"), person.status("care", S)) == ("271004 一丁目", "candidate")
    dead = resident()
    dead.submit(A, "死亡", "03-01")
    dead.submit(S, "転入", "03-02", moved_from=A)
    dead.settle(S, f"{S[:5]}-{dead.number}", S)
    assert dead.account_status("local-tax", S) == "active"


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_processing_helps(seed: int) -> None:
    """Processed in any order, as a replay may do it, the same records give the same stores and conflicts."""
    outcomes = []
    for shuffle in (random.Random(seed), None):  # noqa: S311 - repeatable on purpose
        person = Resident()
        rows = [
            person.notice_row(A, "初期登録", "02-01"),
            person.notice_row(B, "転入", "03-03", moved_from=A),
            person.notice_row(A, "転出", "03-01", moved_to=B),
            person.notice_row(S, "転入", "03-02", moved_from=A),
            person.notice_row(S, "死亡", "03-04"),
        ]
        by_register = {code: [row for row in rows if row["municipality"] == code] for code in (A, B, S)}
        order = [row["municipality"] for row in rows]
        if shuffle is not None:
            shuffle.shuffle(order)
        for code in order:
            person.steps.submit([by_register[code].pop(0)])
            if shuffle is not None and not any(key[0] == "pension" for key in person.stores.rows):
                person.enrol("pension", None, "02-02")
        if shuffle is None:
            person.enrol("pension", None, "02-02")
        person.account("REGISTERED", "one", "02-03")
        outcomes.append(person.stores.content())
    assert outcomes[0] == outcomes[1]
