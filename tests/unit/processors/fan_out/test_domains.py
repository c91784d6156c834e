"""What each domain is told, rule by rule of the samples' README."""

from __future__ import annotations

import pytest

from schemas.systems import DOMAINS
from tests.unit.processors.fan_out.residents import A, B, C, Resident

MUNICIPAL = ["child", "care"]
NATIONAL = ["pension", "nta", "card"]


@pytest.fixture
def resident() -> Resident:
    """First registered at A, enrolled everywhere."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    for domain in DOMAINS.values():
        if domain.enrolment is not None:
            one.enrol(domain.id, A if domain.municipal else None, "02-01")
    return one


def move(one: Resident, origin: str, place: str, out: str, entry: str) -> None:
    """A move from one municipality to another."""
    one.tell(origin, "転出", out, moved_to=place)
    one.tell(place, "転入", entry, moved_from=origin)


def test_a_domain_sees_the_columns_of_its_rule_only(resident: Resident) -> None:
    """All its facts, and null for every other."""
    for (domain, _, _), row in resident.stores.rows.items():
        given = {name for name, value in row["facts"].items() if value is not None}
        assert given == DOMAINS[domain].facts


@pytest.mark.parametrize(
    ("reason", "facts", "told"),
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
def test_who_sees_a_change_is_told_of_it(
    resident: Resident, reason: str, facts: dict[str, str], told: set[str]
) -> None:
    """A notice changes what its reason says, and a domain that doesn't see that column hears nothing but messages."""
    out = resident.tell(A, reason, "03-01", facts)
    assert {topic.removeprefix("change.") for topic in out if topic.startswith("change.")} == told | {
        "portal"
    }
    assert all(row["facts"]["address"] != "違う" for row in resident.stores.rows.values())
    parts = {part["domain"] for case in out["case.dispatched"] for part in case["changes"]}
    assert parts == told | {"portal"}


def test_a_case_without_parts_is_parted_too() -> None:
    """Every change of a person that belongs to a case gives its parts, also none."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    out = one.tell(A, "世帯主変更", "02-02", {"relationship": "世帯主"})
    assert [case["changes"] for case in out["case.dispatched"]] == [[]]
    assert list(out) == ["case.dispatched"]


def test_a_move_closes_at_the_origin_and_brings_a_candidate(resident: Resident) -> None:
    """Municipal rows close there without an address; where they were held, a candidate opens at the new place."""
    resident.tell(A, "転出", "03-01", moved_to=B)
    assert [resident.status(domain, A) for domain in ("local-tax", *MUNICIPAL)] == ["closed"] * 3
    assert [resident.address(domain, A) for domain in ("local-tax", *MUNICIPAL)] == [None] * 3
    assert [resident.address(domain) for domain in NATIONAL] == [f"{A} 一丁目"] * 3
    resident.tell(B, "転入", "03-02", moved_from=A)
    assert [resident.status(domain, B) for domain in ("local-tax", *MUNICIPAL)] == [
        "active",
        "candidate",
        "candidate",
    ]
    assert [resident.address(domain) for domain in NATIONAL] == [f"{B} 一丁目"] * 3
    resident.enrol("child", B, "03-02")
    assert (resident.status("child", B), resident.status("care", B)) == ("active", "candidate")


def test_a_candidate_moves_on_as_a_candidate(resident: Resident) -> None:
    """Active or candidate until the move out: on to C, and back to A, where the closed row opens again."""
    move(resident, A, B, "03-01", "03-02")
    move(resident, B, C, "03-03", "03-04")
    move(resident, C, A, "03-05", "03-05")
    assert [resident.status("child", place) for place in (A, B, C)] == ["candidate", "closed", "closed"]


def test_nobody_is_a_candidate_where_no_domain_held_them() -> None:
    """A move in of somebody not enrolled at the origin opens local tax only."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    move(one, A, B, "03-01", "03-02")
    assert [key[0] for key in one.stores.rows] == ["local-tax", "local-tax"]


def test_a_candidate_whose_enrolment_proves_void_goes() -> None:
    """An enrolment that turns out to begin after the move out opened nothing, there or at the new place."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    one.enrol("child", A, "03-05")
    one.tell(B, "転入", "03-06", moved_from=A)
    assert one.status("child", B) == "candidate"
    out = one.tell(A, "転出", "03-04", moved_to=B)
    assert {row["op"] for row in out["change.child"]} == {"DELETE"}
    assert (one.status("child", A), one.status("child", B)) == (None, None)
    assert one.kinds() == ["ENROLMENT_WITHOUT_RESIDENT"]


def test_abroad_and_back(resident: Resident) -> None:
    """Municipal rows close; national ones say 国外 and no more, until the move in from abroad."""
    resident.tell(A, "国外転出", "03-01", moved_to="999999")
    assert [resident.status(domain, A) for domain in ("local-tax", *MUNICIPAL)] == ["closed"] * 3
    assert [resident.address(domain) for domain in NATIONAL] == ["国外"] * 3
    resident.tell(B, "国外転入", "03-02", moved_from="999999")
    assert [resident.address(domain) for domain in NATIONAL] == [f"{B} 一丁目"] * 3
    assert [resident.status(domain, B) for domain in ("local-tax", *MUNICIPAL)] == ["active", None, None]


def test_death_closes_all(resident: Resident) -> None:
    """Every row, without its address."""
    resident.tell(A, "死亡", "03-01")
    rows = resident.stores.rows.values()
    assert {(row["status"], row["facts"]["address"]) for row in rows} == {("closed", None)}


def test_a_birth_is_a_candidate_for_child_alone() -> None:
    """Local tax opens, child has a candidate, nobody else is told."""
    one = Resident()
    one.tell(A, "出生", "03-01")
    statuses = {domain: row["status"] for (domain, _, _), row in one.stores.rows.items()}
    assert statuses == {"local-tax": "active", "child": "candidate"}


def test_a_protected_address_goes_nowhere(resident: Resident) -> None:
    """From every domain, wherever the person goes, 国外 included; and it comes back with the end of the measure."""
    resident.tell(A, "支援措置開始", "03-01")
    move(resident, A, B, "03-02", "03-03")
    resident.tell(B, "転居", "03-04", {"address": "二丁目"})
    assert {row["facts"]["address"] for row in resident.stores.rows.values()} == {None}
    resident.tell(B, "支援措置終了", "03-05")
    given = {
        key[2]: row["facts"]["address"]
        for key, row in resident.stores.rows.items()
        if row["status"] != "closed"
    }
    assert given == {B: "二丁目", None: "二丁目"}
    resident.tell(B, "支援措置開始", "03-06")
    resident.tell(B, "国外転出", "03-07", moved_to="999999")
    assert {row["facts"]["address"] for row in resident.stores.rows.values()} == {None}


def test_a_protected_move_is_not_told(resident: Resident) -> None:
    """What a domain can't see of a move is not sent: no revision tells that the address changed."""
    resident.tell(A, "支援措置開始", "03-01")
    out = resident.tell(A, "転居", "03-02", {"address": "二丁目"})
    assert [topic for topic in out if topic.startswith("change.")] == ["change.portal"]


def test_protection_begins_with_its_notice_or_with_a_birth_only() -> None:
    """The column of any other notice changes nothing."""
    born, moved = Resident(), Resident()
    born.tell(A, "出生", "03-01", {"protected": True})
    moved.tell(A, "転入", "03-01", {"protected": True}, moved_from=B)
    assert (born.address("child", A), moved.address("local-tax", A)) == (None, f"{A} 一丁目")


def test_a_late_notice_is_folded_at_its_day(resident: Resident) -> None:
    """A change of name listed after a move: the national rows had it, then the move in wrote what its register knew."""
    move(resident, A, B, "03-05", "03-06")
    resident.tell(A, "氏名変更", "03-02", {"name": "佐藤　花子", "kana": "サトウ　ハナコ"})
    names = {key[2]: row["facts"]["name"] for key, row in resident.stores.rows.items()}
    assert names == {A: "佐藤　花子", B: "山田　花子", None: "山田　花子"}


def test_the_day_of_a_row_is_that_of_its_latest_change(resident: Resident) -> None:
    """A change that the domain doesn't see, or that changes nothing, leaves the day as it was."""
    resident.tell(A, "世帯主変更", "03-01", {"relationship": "妻"})
    resident.tell(A, "転居", "03-02", {"address": f"{A} 一丁目"})
    days = {domain: row["effective_on"].day for (domain, _, _), row in resident.stores.rows.items()}
    assert days == {"local-tax": 1, "child": 1, "care": 1, "pension": 1, "nta": 1, "card": 1}
    months = {domain: row["effective_on"].month for (domain, _, _), row in resident.stores.rows.items()}
    assert months == {"local-tax": 3, "child": 3, "care": 3, "pension": 2, "nta": 2, "card": 2}


def test_a_cancelled_notice_never_was(resident: Resident) -> None:
    """Rows and their days go back to what they were."""
    before = resident.stores.rows
    resident.tell(A, "転居", "03-02", {"address": "二丁目"})
    number = f"{A[:5]}-{resident.number}"
    assert resident.stores.rows != before
    resident.cancel(A, "03-02", number)
    assert resident.stores.rows == before


def test_an_enrolment_of_the_dead_or_of_no_resident_waits() -> None:
    """It is a conflict, and takes effect when a notice makes it right."""
    one = Resident()
    one.enrol("child", B, "03-05")
    one.enrol("pension", None, "03-05")
    assert one.kinds() == ["ENROLMENT_WITHOUT_RESIDENT"] * 2
    one.tell(A, "初期登録", "02-01")
    assert (one.kinds(), one.status("pension")) == (["ENROLMENT_WITHOUT_RESIDENT"], "active")
    one.tell(B, "転入", "03-05", moved_from=A)
    assert one.status("child", B) == "active"
    assert one.kinds() == ["REGISTERED_TWICE"]
    one.tell(A, "転出", "03-04", moved_to=B)
    assert one.kinds() == []
    one.tell(B, "死亡", "03-06")
    one.enrol("card", None, "03-06")
    assert (one.kinds(), one.status("card")) == (["ENROLMENT_WITHOUT_RESIDENT"], None)


def test_an_enrolment_follows_the_notices_of_its_day() -> None:
    """On the day of the move out there is no resident any more; on the day of the move in there is."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    move(one, A, B, "03-01", "03-01")
    one.enrol("care", A, "03-01")
    one.enrol("care", B, "03-01")
    assert (one.status("care", A), one.status("care", B)) == (None, "active")


def test_registered_twice_is_shown_and_both_stand() -> None:
    """A conflict names both municipalities, in the same way whichever came first."""
    one, other = Resident(), Resident()
    for resident, places in ((one, (A, B)), (other, (B, A))):
        for place in places:
            resident.tell(place, "初期登録", "02-01")
    (conflict,) = one.stores.conflicts.values()
    assert (conflict["municipality"], conflict["other_municipality"]) == (B, A)
    assert one.stores.conflicts == other.stores.conflicts
    assert (one.status("local-tax", A), one.status("local-tax", B)) == ("active", "active")
