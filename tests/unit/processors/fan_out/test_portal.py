"""Messages to residents, and the ledger of their accounts."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.unit.processors.fan_out.residents import A, B, Resident

OTHER = "スズキ　イチロウ"


def resident() -> Resident:
    """Return a person first registered at A."""
    person = Resident()
    person.submit(A, "初期登録", "02-01")
    return person


def enrolled() -> Resident:
    """Return a person first registered at A and enrolled in the portal from that day."""
    person = resident()
    person.enrol("portal", None, "02-01")
    return person


def test_each_case_after_the_enrolment_sends_one_message() -> None:
    """So do cancelled notices and cancellations, but not the person's own death or cases of the day or before."""
    person = enrolled()
    person.submit(A, "転居", "03-01", {"address": "二丁目"})
    person.cancel(A, "03-01", f"{A[:5]}-{person.number}")
    person.submit(A, "死亡", "03-02")
    assert person.message_reasons() == ["CANCELLED", "MOVED_WITHIN"]


def test_a_late_enrolment_sends_the_messages_after_its_day() -> None:
    """Each is sent once, as if the enrolment had arrived in time, also those of cancelled notices."""
    person = resident()
    person.submit(A, "転居", "03-01", {"address": "二丁目"})
    person.submit(A, "転居", "03-02", {"address": "三丁目"})
    person.cancel(A, "03-02", f"{A[:5]}-{person.number}")
    person.submit(A, "氏名変更", "03-03", {"name": "別名"})
    assert person.message_reasons() == []
    person.enrol("portal", None, "03-02")
    assert person.message_reasons() == ["NAME_CHANGED"]
    person.enrol("portal", None, "03-01")
    assert person.message_reasons() == ["CANCELLED", "MOVED_WITHIN", "NAME_CHANGED"]


def test_an_enrolment_of_an_unknown_person_sends_nothing() -> None:
    """A notice of its day or before makes the person known."""
    person = Resident()
    person.enrol("portal", None, "02-10")
    person.submit(B, "転入", "02-20", moved_from=A)
    assert (person.message_reasons(), person.conflict_kinds()) == ([], ["ENROLMENT_WITHOUT_RESIDENT"])
    person.submit(A, "初期登録", "02-01")
    assert (person.message_reasons(), person.conflict_kinds()) == (["MOVED_IN"], ["REGISTERED_TWICE"])


def test_a_message_has_only_reason_and_day() -> None:
    """Its text names neither person nor place."""
    person = enrolled()
    person.submit(A, "転居", "03-01", {"address": "二丁目"})
    ((key, message),) = person.stores.messages.items()
    assert key == ("portal", "p", f"{A}/{A[:5]}-2")
    assert message["text"] == "転居の届出が受理されました（異動日：2026年3月1日）。"


def with_account() -> Resident:
    """Return a person in child and pension, with an account in their own name."""
    person = resident()
    person.enrol("child", A, "02-01")
    person.enrol("pension", None, "02-01")
    person.account("REGISTERED", "person", "02-02")
    return person


def account_statuses(person: Resident) -> dict[tuple[str, str | None], tuple[str, str]]:
    """Return ID and status of the account that each domain has received."""
    accounts = person.stores.accounts.items()
    return {(key[0], key[2]): (row["account"]["account"], row["status"]) for key, row in accounts}


def test_an_account_reaches_the_paying_domains_and_the_portal() -> None:
    """Only paying domains with a row of the person receive it."""
    person = with_account()
    expected = dict.fromkeys(
        [("local-tax", A), ("child", A), ("pension", None), ("portal", None)], ("person", "active")
    )
    assert account_statuses(person) == expected


def test_the_account_follows_the_rows() -> None:
    """A domain with a new row receives the account; one whose row closes deletes it."""
    person = with_account()
    person.submit(A, "転出", "03-01", moved_to=B)
    assert sorted(account_statuses(person)) == [("pension", None), ("portal", None)]
    person.submit(B, "転入", "03-02", moved_from=A)
    assert sorted(account_statuses(person), key=str) == [
        ("child", B),
        ("local-tax", B),
        ("pension", None),
        ("portal", None),
    ]


def test_a_change_and_a_closing_reach_the_same_domains() -> None:
    """A domain whose row opens later doesn't receive a closed account."""
    person = with_account()
    outputs = person.account("CHANGED", "person", "02-03")
    assert sorted(outputs) == ["change.child", "change.local-tax", "change.pension", "change.portal"]
    person.account("CLOSED", "person", "02-04", holder="")
    assert set(account_statuses(person).values()) == {("person", "closed")}
    person.submit(A, "転出", "03-01", moved_to=B)
    person.submit(B, "転入", "03-02", moved_from=A)
    assert sorted(account_statuses(person)) == [("pension", None), ("portal", None)]


def test_a_second_account_is_a_conflict() -> None:
    """Nothing changes for the domains; the conflict ends when the resident closes it."""
    person = with_account()
    before = account_statuses(person)
    outputs = person.account("REGISTERED", "two", "02-03")
    assert list(outputs) == ["conflict"]
    assert (person.conflict_kinds(), account_statuses(person)) == (["ACCOUNT_SECOND"], before)
    person.account("CLOSED", "two", "02-04")
    assert (person.conflict_kinds(), account_statuses(person)) == ([], before)


def test_another_account_may_be_registered_after_a_closing() -> None:
    """On the same day too, in either order of arrival."""
    for order in permutations([("CLOSED", "person"), ("REGISTERED", "two")]):
        person = with_account()
        for event, name in order:
            person.account(event, name, "02-05")
        assert set(account_statuses(person).values()) == {("two", "active")}
        assert person.conflict_kinds() == []


@pytest.mark.parametrize("holder", [OTHER, "ヤマダハナコ", "ヤマダ  ハナコ", " ヤマダ　ハナコ"])
def test_another_name_is_a_conflict(holder: str) -> None:
    """The reading must be the register's; only the width of the space may differ."""
    person = resident()
    person.account("REGISTERED", "person", "02-02", holder=holder)
    assert (person.conflict_kinds(), account_statuses(person)) == (["ACCOUNT_OTHER_NAME"], {})


def test_a_half_width_space_is_accepted() -> None:
    """Banks write the space between the names in either width."""
    person = resident()
    person.account("REGISTERED", "person", "02-02", holder="ヤマダ ハナコ")
    assert (person.conflict_kinds(), len(account_statuses(person))) == ([], 2)


def test_a_change_into_another_name_is_a_conflict() -> None:
    """The account stays as it was; a change with the right name ends the conflict."""
    person = with_account()
    person.account("CHANGED", "person", "02-03", holder=OTHER)
    assert person.conflict_kinds() == ["ACCOUNT_OTHER_NAME"]
    person.account("CHANGED", "person", "02-04")
    assert person.conflict_kinds() == []


def test_an_event_of_an_account_not_in_force_is_a_conflict() -> None:
    """No event is lost: a late registration of an earlier day ends the conflict."""
    person = resident()
    person.account("CHANGED", "person", "02-05")
    assert (person.conflict_kinds(), account_statuses(person)) == (["ACCOUNT_NOT_IN_FORCE"], {})
    person.account("REGISTERED", "person", "02-04")
    assert (person.conflict_kinds(), len(account_statuses(person))) == ([], 2)


def test_closing_again_does_not_end_a_conflict() -> None:
    """The conflict has the day of the latest closing; only a registration ends it."""
    person = resident()
    person.account("CHANGED", "person", "02-05")
    for day in ("02-06", "02-07"):
        person.account("CLOSED", "person", day)
        (conflict,) = person.stores.conflicts.values()
        assert (conflict["kind"], f"{conflict['effective_on']:%m-%d}") == ("ACCOUNT_NOT_IN_FORCE", day)
    person.account("REGISTERED", "person", "02-04")
    assert person.conflict_kinds() == ["ACCOUNT_NOT_IN_FORCE"]  # because it is closed twice
    assert set(account_statuses(person).values()) == {("person", "closed")}


def test_an_account_needs_the_name_of_its_day() -> None:
    """A change of name before that day makes it right, even if it arrives later; a later change has no effect."""
    person = resident()
    person.account("REGISTERED", "person", "02-10", holder=OTHER)
    assert person.conflict_kinds() == ["ACCOUNT_OTHER_NAME"]
    person.submit(A, "氏名変更", "02-05", {"name": "鈴木　一郎", "kana": OTHER})
    assert (person.conflict_kinds(), len(account_statuses(person))) == ([], 2)
    person.submit(A, "氏名変更", "02-20", {"name": "山田　花子", "kana": "ヤマダ　ハナコ"})
    assert (person.conflict_kinds(), len(account_statuses(person))) == ([], 2)


def test_an_account_may_arrive_before_its_person() -> None:
    """It is a conflict until the first notice, and then validated, even if its day is earlier than the notice's."""
    person = Resident()
    person.account("REGISTERED", "person", "01-15")
    person.account("REGISTERED", "two", "01-16", holder=OTHER)
    assert person.conflict_kinds() == ["ACCOUNT_OTHER_NAME"] * 2
    person.submit(A, "初期登録", "02-01")
    assert person.conflict_kinds() == ["ACCOUNT_OTHER_NAME"]
    assert account_statuses(person) == dict.fromkeys(
        [("portal", None), ("local-tax", A)], ("person", "active")
    )
