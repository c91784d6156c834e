"""The rows that each domain receives, rule by rule of docs/rules.md."""

from __future__ import annotations

import pytest

from schemas.systems import DOMAINS
from tests.unit.processors.fan_out.residents import A, B, C, Resident

MUNICIPAL = ["child", "care"]
NATIONAL = ["pension", "nta", "card"]


@pytest.fixture
def resident() -> Resident:
    """Return a person who is first registered at A and enrolled in every domain."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    for domain in DOMAINS.values():
        if domain.enrolment is not None:
            person.enrol(domain.id, A if domain.municipal else None, "02-01")
    return person


def move(person: Resident, origin: str, destination: str, out_day: str, in_day: str) -> None:
    """Move from one municipality to another."""
    person.submit(origin, "転出", out_day, moved_to=destination)
    person.submit(destination, "転入", in_day, moved_from=origin)


def test_a_row_has_only_the_columns_of_its_domain(resident: Resident) -> None:
    """It has all facts of the domain's rule; all others are null."""
    for (domain, _, _), row in resident.stores.rows.items():
        facts = {name for name, value in row["facts"].items() if value is not None}
        assert facts == DOMAINS[domain].facts


@pytest.mark.parametrize(
    ("reason", "facts", "domains"),
    [
        (
            "転居",
            {"address": "二丁目", "name": "違う"},
            {"local-tax", "child", "care", "pension", "nta", "card"},
        ),
        ("氏名変更", {"name": "佐藤　花子"}, {"local-tax", "child", "care", "pension", "nta", "card"}),
        ("世帯主変更", {"relationship": "妻", "address": "違う"}, {"local-tax", "child", "care"}),
        ("世帯分離", {"household": "2"}, {"local-tax", "child", "care"}),
        ("世帯構成変更", {"relationship": "子"}, {"local-tax", "child", "care"}),
        ("職権修正", {"sex": "男", "relationship": "違う"}, {"card"}),
        ("氏名変更", {"address": "違う"}, set()),
    ],
)
def test_a_change_reaches_the_domains_that_have_its_columns(
    resident: Resident, reason: str, facts: dict[str, str], domains: set[str]
) -> None:
    """A notice changes what its reason allows; a domain without these columns receives messages only."""
    outputs = resident.submit(A, reason, "03-01", facts)
    assert {topic.removeprefix("change.") for topic in outputs if topic.startswith("change.")} == domains | {
        "portal"
    }
    assert all(row["facts"]["address"] != "違う" for row in resident.stores.rows.values())
    dispatched = {change["domain"] for case in outputs["case.dispatched"] for change in case["changes"]}
    assert dispatched == domains | {"portal"}


def test_a_case_without_changes_is_dispatched_too() -> None:
    """Every person of a case is dispatched, even with an empty list of changes."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    outputs = person.submit(A, "世帯主変更", "02-02", {"relationship": "世帯主"})
    assert [case["changes"] for case in outputs["case.dispatched"]] == [[]]
    assert list(outputs) == ["case.dispatched"]


def test_a_move_closes_rows_and_opens_candidates(resident: Resident) -> None:
    """Municipal rows close at the origin without an address; the same domains have candidates at the destination."""
    resident.submit(A, "転出", "03-01", moved_to=B)
    assert [resident.status(domain, A) for domain in ("local-tax", *MUNICIPAL)] == ["closed"] * 3
    assert [resident.address(domain, A) for domain in ("local-tax", *MUNICIPAL)] == [None] * 3
    assert [resident.address(domain) for domain in NATIONAL] == [f"{A} 一丁目"] * 3
    resident.submit(B, "転入", "03-02", moved_from=A)
    assert [resident.status(domain, B) for domain in ("local-tax", *MUNICIPAL)] == [
        "active",
        "candidate",
        "candidate",
    ]
    assert [resident.address(domain) for domain in NATIONAL] == [f"{B} 一丁目"] * 3
    resident.enrol("child", B, "03-02")
    assert (resident.status("child", B), resident.status("care", B)) == ("active", "candidate")


def test_a_candidate_remains_a_candidate_after_moves(resident: Resident) -> None:
    """Active or candidate until the move out; back at A, the closed row opens again."""
    move(resident, A, B, "03-01", "03-02")
    move(resident, B, C, "03-03", "03-04")
    move(resident, C, A, "03-05", "03-05")
    assert [resident.status("child", municipality) for municipality in (A, B, C)] == [
        "candidate",
        "closed",
        "closed",
    ]


def test_there_is_no_candidate_without_a_row_at_the_origin() -> None:
    """A move in of a person who wasn't enrolled at the origin opens local tax only."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    move(person, A, B, "03-01", "03-02")
    assert [key[0] for key in person.stores.rows] == ["local-tax", "local-tax"]


def test_a_candidate_is_deleted_if_the_enrolment_had_no_effect() -> None:
    """A corrected day of the move out shows that the enrolment began after it: it opened no row, here or there."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    person.enrol("child", A, "03-05")
    person.submit(A, "転出", "03-06", moved_to=B)
    out = f"{A[:5]}-{person.number}"
    person.submit(B, "転入", "03-06", moved_from=A)
    assert person.status("child", B) == "candidate"
    person.cancel(A, "03-06", out)
    person.submit(A, "転出", "03-04", moved_to=B)
    assert (person.status("child", A), person.status("child", B)) == (None, None)
    assert person.conflict_kinds() == ["ENROLMENT_WITHOUT_RESIDENT"]


def test_a_move_abroad_and_back(resident: Resident) -> None:
    """Municipal rows close; national ones have 国外 as address until the move in from abroad."""
    resident.submit(A, "国外転出", "03-01", moved_to="999999")
    assert [resident.status(domain, A) for domain in ("local-tax", *MUNICIPAL)] == ["closed"] * 3
    assert [resident.address(domain) for domain in NATIONAL] == ["国外"] * 3
    resident.submit(B, "国外転入", "03-02", moved_from="999999")
    assert [resident.address(domain) for domain in NATIONAL] == [f"{B} 一丁目"] * 3
    assert [resident.status(domain, B) for domain in ("local-tax", *MUNICIPAL)] == ["active", None, None]


def test_death_closes_all_rows(resident: Resident) -> None:
    """No row keeps an address."""
    resident.submit(A, "死亡", "03-01")
    rows = resident.stores.rows.values()
    assert {(row["status"], row["facts"]["address"]) for row in rows} == {("closed", None)}


def test_a_birth_opens_local_tax_and_a_candidate_in_child() -> None:
    """No other domain receives anything."""
    person = Resident()
    person.submit(A, "出生", "03-01")
    statuses = {domain: row["status"] for (domain, _, _), row in person.stores.rows.items()}
    assert statuses == {"local-tax": "active", "child": "candidate"}


def test_no_domain_receives_a_protected_address(resident: Resident) -> None:
    """Not even 国外 after a move; the address returns when the measure ends."""
    resident.submit(A, "支援措置開始", "03-01")
    move(resident, A, B, "03-02", "03-03")
    resident.submit(B, "転居", "03-04", {"address": "二丁目"})
    assert {row["facts"]["address"] for row in resident.stores.rows.values()} == {None}
    resident.submit(B, "支援措置終了", "03-05")
    addresses = {
        key[2]: row["facts"]["address"]
        for key, row in resident.stores.rows.items()
        if row["status"] != "closed"
    }
    assert addresses == {B: "二丁目", None: "二丁目"}
    resident.submit(B, "支援措置開始", "03-06")
    resident.submit(B, "国外転出", "03-07", moved_to="999999")
    assert {row["facts"]["address"] for row in resident.stores.rows.values()} == {None}


def test_a_protected_move_is_invisible(resident: Resident) -> None:
    """A domain receives no change, so that no revision reveals a changed address."""
    resident.submit(A, "支援措置開始", "03-01")
    outputs = resident.submit(A, "転居", "03-02", {"address": "二丁目"})
    assert [topic for topic in outputs if topic.startswith("change.")] == ["change.portal"]


def test_protection_begins_only_with_its_notice_or_a_birth() -> None:
    """The column has no effect in any other notice."""
    born, moved = Resident(), Resident()
    born.submit(A, "出生", "03-01", {"protected": True})
    moved.submit(A, "転入", "03-01", {"protected": True}, moved_from=B)
    assert (born.address("child", A), moved.address("local-tax", A)) == (None, f"{A} 一丁目")


def test_a_late_notice_takes_effect_on_its_day(resident: Resident) -> None:
    """A change of name arrives after a later move: the move in then set the name that its register knew."""
    move(resident, A, B, "03-05", "03-06")
    resident.submit(A, "氏名変更", "03-02", {"name": "佐藤　花子", "kana": "サトウ　ハナコ"})
    names = {key[2]: row["facts"]["name"] for key, row in resident.stores.rows.items()}
    assert names == {A: "佐藤　花子", B: "山田　花子", None: "山田　花子"}


def test_a_rows_effective_day_is_that_of_its_latest_change(resident: Resident) -> None:
    """A change that the domain can't see, or that changes nothing, doesn't move it."""
    resident.submit(A, "世帯主変更", "03-01", {"relationship": "妻"})
    resident.submit(A, "転居", "03-02", {"address": f"{A} 一丁目"})
    days = {domain: row["effective_on"].day for (domain, _, _), row in resident.stores.rows.items()}
    assert days == {"local-tax": 1, "child": 1, "care": 1, "pension": 1, "nta": 1, "card": 1}
    months = {domain: row["effective_on"].month for (domain, _, _), row in resident.stores.rows.items()}
    assert months == {"local-tax": 3, "child": 3, "care": 3, "pension": 2, "nta": 2, "card": 2}


def test_a_cancelled_notice_has_no_effect(resident: Resident) -> None:
    """Rows and their effective days are as before the notice."""
    before = resident.stores.rows
    resident.submit(A, "転居", "03-02", {"address": "二丁目"})
    number = f"{A[:5]}-{resident.number}"
    assert resident.stores.rows != before
    resident.cancel(A, "03-02", number)
    assert resident.stores.rows == before


def test_an_enrolment_without_a_resident_is_a_conflict() -> None:
    """It takes effect when a notice makes the person a resident on its day."""
    person = Resident()
    person.enrol("child", B, "03-05")
    person.enrol("pension", None, "03-05")
    assert person.conflict_kinds() == ["ENROLMENT_WITHOUT_RESIDENT"] * 2
    person.submit(A, "初期登録", "02-01")
    assert (person.conflict_kinds(), person.status("pension")) == (["ENROLMENT_WITHOUT_RESIDENT"], "active")
    person.submit(B, "転入", "03-05", moved_from=A)
    assert person.status("child", B) == "active"
    assert person.conflict_kinds() == ["REGISTERED_TWICE"]
    person.submit(A, "転出", "03-04", moved_to=B)
    assert person.conflict_kinds() == []
    person.submit(B, "死亡", "03-06")
    person.enrol("card", None, "03-06")
    assert (person.conflict_kinds(), person.status("card")) == (["ENROLMENT_WITHOUT_RESIDENT"], None)


def test_an_enrolment_follows_the_notices_of_its_day() -> None:
    """On the day of the move out there is no resident any more; on the day of the move in there is."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    move(person, A, B, "03-01", "03-01")
    person.enrol("care", A, "03-01")
    person.enrol("care", B, "03-01")
    assert (person.status("care", A), person.status("care", B)) == (None, "active")


def test_two_registrations_are_a_conflict_and_both_remain() -> None:
    """The conflict is the registration received later, whichever is processed first."""
    first, second = Resident(), Resident()
    for resident, order in ((first, (0, 1)), (second, (1, 0))):
        rows = [resident.notice_row(municipality, "初期登録", "02-01") for municipality in (A, B)]
        for index in order:
            resident.steps.submit([rows[index]])
    (conflict,) = first.stores.conflicts.values()
    assert (conflict["kind"], conflict["municipality"], conflict["other_municipality"]) == (
        "REGISTERED_TWICE",
        B,
        A,
    )
    assert first.stores.conflicts == second.stores.conflicts
    assert (first.status("local-tax", A), first.status("local-tax", B)) == ("active", "active")


def test_a_move_abroad_that_another_registration_follows_changes_no_day() -> None:
    """The national row shows the other registration's address before and after: the domain sees no change."""
    person = Resident()
    of_a, of_b = person.notice_row(A, "初期登録", "02-05"), person.notice_row(B, "初期登録", "02-03")
    person.steps.submit([of_a])
    person.steps.submit([of_b])
    person.enrol("pension", None, "02-03")
    outputs = person.submit(A, "国外転出", "02-08")
    row = person.row("pension")
    assert row is not None
    assert (row["facts"]["address"], str(row["effective_on"])) == ("011002 一丁目", "2026-02-03")
    assert "change.pension" not in outputs
