"""Messages to residents, and the ledger of their accounts."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.unit.processors.fan_out.residents import A, B, Resident

OTHER = "スズキ　イチロウ"


def resident() -> Resident:
    """First registered at A."""
    one = Resident()
    one.tell(A, "初期登録", "02-01")
    return one


def enrolled() -> Resident:
    """First registered at A, with the portal from that day."""
    one = resident()
    one.enrol("portal", None, "02-01")
    return one


def test_one_message_for_each_case_after_the_day_of_the_enrolment() -> None:
    """Also for the cancelled and for the cancellation; not for what took effect by that day, nor one's own death."""
    one = enrolled()
    one.tell(A, "転居", "03-01", {"address": "二丁目"})
    one.cancel(A, "03-01", f"{A[:5]}-{one.number}")
    one.tell(A, "死亡", "03-02")
    assert one.terms() == ["CANCELLED", "MOVED_WITHIN"]


def test_a_late_enrolment_brings_what_takes_effect_after_its_day() -> None:
    """The same messages as if it had been there in time, also those of cancelled notices; and once each."""
    one = resident()
    one.tell(A, "転居", "03-01", {"address": "二丁目"})
    one.tell(A, "転居", "03-02", {"address": "三丁目"})
    one.cancel(A, "03-02", f"{A[:5]}-{one.number}")
    one.tell(A, "氏名変更", "03-03", {"name": "別名"})
    assert one.terms() == []
    one.enrol("portal", None, "03-02")
    assert one.terms() == ["NAME_CHANGED"]
    one.enrol("portal", None, "03-01")
    assert one.terms() == ["CANCELLED", "MOVED_WITHIN", "NAME_CHANGED"]


def test_an_enrolment_of_somebody_unheard_of_brings_nothing() -> None:
    """Until a notice of that day or before makes them known."""
    one = Resident()
    one.enrol("portal", None, "02-10")
    one.tell(B, "転入", "02-20", moved_from=A)
    assert (one.terms(), one.kinds()) == ([], ["ENROLMENT_WITHOUT_RESIDENT"])
    one.tell(A, "初期登録", "02-01")
    assert (one.terms(), one.kinds()) == (["MOVED_IN"], ["REGISTERED_TWICE"])


def test_a_message_says_nothing_but_reason_and_day() -> None:
    """Its text names neither person nor place."""
    one = enrolled()
    one.tell(A, "転居", "03-01", {"address": "二丁目"})
    ((key, message),) = one.stores.messages.items()
    assert key == ("portal", "p", f"{A}/{A[:5]}-2")
    assert message["text"] == "転居の届出が受理されました（異動日：2026年3月1日）。"


def paid() -> Resident:
    """Held by child and pension, with an account in their own name."""
    one = resident()
    one.enrol("child", A, "02-01")
    one.enrol("pension", None, "02-01")
    one.account("REGISTERED", "one", "02-02")
    return one


def told(one: Resident) -> dict[tuple[str, str | None], tuple[str, str]]:
    """Who is told of which account, and its status."""
    accounts = one.stores.accounts.items()
    return {(key[0], key[2]): (row["account"]["account"], row["status"]) for key, row in accounts}


def test_an_account_reaches_the_paying_domains_and_the_ledger() -> None:
    """Those that hold the person; nobody else."""
    one = paid()
    everybody = dict.fromkeys(
        [("local-tax", A), ("child", A), ("pension", None), ("portal", None)], ("one", "active")
    )
    assert told(one) == everybody


def test_the_account_follows_the_rows() -> None:
    """A domain that begins to hold the person is told; one that no longer does forgets the account."""
    one = paid()
    one.tell(A, "転出", "03-01", moved_to=B)
    assert sorted(told(one)) == [("pension", None), ("portal", None)]
    one.tell(B, "転入", "03-02", moved_from=A)
    assert sorted(told(one), key=str) == [("child", B), ("local-tax", B), ("pension", None), ("portal", None)]


def test_a_change_and_a_closing_reach_them_too() -> None:
    """The changed account, then its closing; who begins to hold the person later isn't told of a closed one."""
    one = paid()
    out = one.account("CHANGED", "one", "02-03")
    assert sorted(out) == ["change.child", "change.local-tax", "change.pension", "change.portal"]
    one.account("CLOSED", "one", "02-04", holder="")
    assert set(told(one).values()) == {("one", "closed")}
    one.tell(A, "転出", "03-01", moved_to=B)
    one.tell(B, "転入", "03-02", moved_from=A)
    assert sorted(told(one)) == [("pension", None), ("portal", None)]


def test_a_second_account_is_a_conflict() -> None:
    """Nothing changes for the domains; when the resident closes it, the conflict is settled."""
    one = paid()
    before = told(one)
    out = one.account("REGISTERED", "two", "02-03")
    assert list(out) == ["conflict"]
    assert (one.kinds(), told(one)) == (["ACCOUNT_SECOND"], before)
    one.account("CLOSED", "two", "02-04")
    assert (one.kinds(), told(one)) == ([], before)


def test_after_a_closing_another_account_may_be_registered() -> None:
    """On the same day too, in whatever order the two are told."""
    for order in permutations([("CLOSED", "one"), ("REGISTERED", "two")]):
        one = paid()
        for event, name in order:
            one.account(event, name, "02-05")
        assert set(told(one).values()) == {("two", "active")}
        assert one.kinds() == []


@pytest.mark.parametrize("holder", [OTHER, "ヤマダハナコ", "ヤマダ  ハナコ", " ヤマダ　ハナコ"])
def test_another_name_is_a_conflict(holder: str) -> None:
    """The reading must be the register's; only the width of the space between the names is free."""
    one = resident()
    one.account("REGISTERED", "one", "02-02", holder=holder)
    assert (one.kinds(), told(one)) == (["ACCOUNT_OTHER_NAME"], {})


def test_a_half_width_space_is_as_good() -> None:
    """Banks write the space between the names in either width."""
    one = resident()
    one.account("REGISTERED", "one", "02-02", holder="ヤマダ ハナコ")
    assert (one.kinds(), len(told(one))) == ([], 2)


def test_a_change_into_another_name_is_a_conflict() -> None:
    """The account stays as it was; a change that fits settles it."""
    one = paid()
    one.account("CHANGED", "one", "02-03", holder=OTHER)
    assert one.kinds() == ["ACCOUNT_OTHER_NAME"]
    one.account("CHANGED", "one", "02-04")
    assert one.kinds() == []


def test_what_happens_to_an_account_that_is_not_in_force_is_a_conflict() -> None:
    """A change or a closing without a registration loses nothing; a late registration of an earlier day settles it."""
    one = resident()
    one.account("CHANGED", "one", "02-05")
    assert (one.kinds(), told(one)) == (["ACCOUNT_NOT_IN_FORCE"], {})
    one.account("REGISTERED", "one", "02-04")
    assert (one.kinds(), len(told(one))) == ([], 2)


def test_closing_once_more_what_is_not_in_force_settles_nothing() -> None:
    """The conflict stands, however often it is closed, with the day of the latest; its registration settles it."""
    one = resident()
    one.account("CHANGED", "one", "02-05")
    for day in ("02-06", "02-07"):
        one.account("CLOSED", "one", day)
        (conflict,) = one.stores.conflicts.values()
        assert (conflict["kind"], f"{conflict['effective_on']:%m-%d}") == ("ACCOUNT_NOT_IN_FORCE", day)
    one.account("REGISTERED", "one", "02-04")
    assert one.kinds() == ["ACCOUNT_NOT_IN_FORCE"]  # closed twice
    assert set(told(one).values()) == {("one", "closed")}


def test_the_name_is_that_of_the_accounts_day() -> None:
    """A change of name before that day, listed later, makes it right; a later change leaves it as it is."""
    one = resident()
    one.account("REGISTERED", "one", "02-10", holder=OTHER)
    assert one.kinds() == ["ACCOUNT_OTHER_NAME"]
    one.tell(A, "氏名変更", "02-05", {"name": "鈴木　一郎", "kana": OTHER})
    assert (one.kinds(), len(told(one))) == ([], 2)
    one.tell(A, "氏名変更", "02-20", {"name": "山田　花子", "kana": "ヤマダ　ハナコ"})
    assert (one.kinds(), len(told(one))) == ([], 2)


def test_an_account_may_come_before_its_person() -> None:
    """A conflict until the first notice; then it is judged, also where its day is earlier than that notice's."""
    one = Resident()
    one.account("REGISTERED", "one", "01-15")
    one.account("REGISTERED", "two", "01-16", holder=OTHER)
    assert one.kinds() == ["ACCOUNT_OTHER_NAME"] * 2
    one.tell(A, "初期登録", "02-01")
    assert one.kinds() == ["ACCOUNT_OTHER_NAME"]
    assert told(one) == dict.fromkeys([("portal", None), ("local-tax", A)], ("one", "active"))
