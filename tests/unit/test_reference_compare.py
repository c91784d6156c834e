"""The comparison finds each kind of difference and reports no personal data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Actual, Difference, Expected, compare, expected
from infra.verification.reference.reference_model import RowDetail

pytestmark = pytest.mark.unit

NAME = {
    "name": "試験　一郎",
    "kana": "シケン　イチロウ",
    "roman": "SHIKEN ICHIRO",
    "birth_date": "1980-05-05",
}
ACCOUNT = {
    "holder_kana": "シケン　イチロウ",
    "bank": "0001",
    "branch": "001",
    "type": "普通",
    "number": "1234567",
}


def city() -> Expected:
    """Return expected contents: two persons of one household in local tax, one of them with a row in pension."""
    local = {"domain": "local-tax", "municipality": "131041", "status": "active", "address": "甲"}
    outcome = Expected(
        rows=[
            {**local, **NAME, "relationship": "世帯主"},
            {**local, **NAME, "name": "試験　花子", "relationship": "妻"},
            {"domain": "pension", "municipality": None, "status": "active", **NAME, "address": "甲"},
        ],
        portal=[[["転居", "2026-03-01"]]],
        portal_persons=[0],
        rejected_cancellations=["13104-1"],
    )
    outcome.accounts = [
        {"domain": "local-tax", "municipality": "131041", "status": "active", **ACCOUNT},
        {"domain": "portal", "municipality": None, "status": "active", "account": "A1", **ACCOUNT},
    ]
    outcome.account_details = [RowDetail(0, "2026-03-01"), RowDetail(0, "2026-03-02")]
    outcome.details = [RowDetail(0, "2026-03-01", "131041/1"), RowDetail(1, "2026-03-01", "131041/1")]
    outcome.details.append(RowDetail(0, "2026-03-01", None))
    return outcome


def stores() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the same rows and messages as stores have them: domain codes, schema names, no national municipality."""
    tax, wife, pension = (dict(row) for row in city().rows)
    tax |= {"domain": "local_tax", "code": "t0", "household_code": "h", "effective_on": "2026-03-01"}
    wife |= {"domain": "local_tax", "code": "t1", "household_code": "h", "effective_on": "2026-03-01"}
    pension |= {"code": "p0", "effective_on": "2026-03-01", "revision": 3}
    del pension["municipality"]
    message = {"code": "n0", "reason": "転居", "effective_on": "2026-03-01", "text": "…"}
    return [tax, wife, pension], [message]


def accounts() -> list[dict[str, Any]]:
    """Return the accounts as stores have them."""
    tax, portal = (dict(row) for row in city().accounts)
    tax |= {"domain": "local_tax", "code": "t0", "effective_on": "2026-03-01", "revision": 2}
    portal |= {"code": "n0", "effective_on": "2026-03-02", "revision": 1}
    del portal["municipality"]
    return [tax, portal]


def test_equal_contents_have_no_difference() -> None:
    """Codes and revisions are not compared."""
    rows, messages = stores()
    assert compare(city(), Actual(rows, messages, ["13104-1"], accounts())) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"address": "乙"}, Difference("local-tax", "131041", "differs", 0, ("address",))),
        ({"effective_on": "2026-03-02"}, Difference("local-tax", "131041", "differs", 0, ("effective_on",))),
        ({"household_code": "h2"}, Difference("local-tax", "131041", "household-missing", 0)),
        ({"code": "t1"}, Difference("local-tax", "131041", "person-missing", 0)),
        ({"municipality": "131130"}, Difference("local-tax", "131041", "missing", 0)),
    ],
)
def test_a_changed_row_is_found(change: dict[str, str], difference: Difference) -> None:
    """The difference has index and column, no value."""
    rows, messages = stores()
    rows[0] |= change
    differences = compare(city(), Actual(rows, messages))
    assert difference in differences
    assert not any(value in repr(differences) for value in NAME.values())


@pytest.mark.parametrize(
    ("index", "change", "difference"),
    [
        (0, {"number": "7654321"}, Difference("local-tax", "131041", "account-differs", 0, ("number",))),
        (0, {"status": "closed"}, Difference("local-tax", "131041", "account-differs", 0, ("status",))),
        (1, {"account": "A2"}, Difference("portal", None, "account-differs", 1, ("account",))),
        (
            1,
            {"effective_on": "2026-03-01"},
            Difference("portal", None, "account-differs", 1, ("effective_on",)),
        ),
        (0, {"holder_kana": "ベツジン"}, Difference("local-tax", "131041", "account-missing", 0)),
        (0, {"municipality": "131130"}, Difference("local-tax", "131130", "account-unexpected", 0)),
        (0, {"code": "t1"}, Difference("local-tax", "131041", "account-owner-missing", 0)),
        (1, {"code": "n1"}, Difference("portal", None, "account-owner-missing", 1)),
    ],
)
def test_a_changed_account_is_found(index: int, change: dict[str, str], difference: Difference) -> None:
    """An account with another owner is found by the rows and messages that have its code."""
    rows, messages = stores()
    changed_accounts = accounts()
    changed_accounts[index] |= change
    differences = compare(city(), Actual(rows, messages, None, changed_accounts))
    assert difference in differences
    assert all(other.kind.startswith("account-") for other in differences)
    assert not any(value in repr(differences) for value in (*ACCOUNT.values(), "ベツジン", "7654321"))


def test_missing_and_unexpected_accounts_are_found() -> None:
    """Accounts that the caller leaves out are not compared."""
    rows, messages = stores()
    tax, portal = accounts()
    assert Difference("portal", None, "account-missing", 1) in compare(
        city(), Actual(rows, messages, None, [tax])
    )
    twice = compare(city(), Actual(rows, messages, None, [tax, portal, portal]))
    assert Difference("portal", None, "account-unexpected", 2) in twice
    assert compare(city(), Actual(rows, messages)) == []


def test_missing_and_unexpected_rows_messages_and_rejections_are_found() -> None:
    """A row is there twice, a message is missing and a cancellation is rejected unexpectedly."""
    rows, _ = stores()
    differences = compare(city(), Actual([*rows, rows[2]], [], ["13104-1", "13104-2"]))
    assert {(difference.domain, difference.kind) for difference in differences} >= {
        ("pension", "unexpected"),
        ("portal", "messages-missing"),
        ("juki", "rejection-unexpected"),
    }


def test_a_file_with_another_name_is_an_error() -> None:
    """The error names the file names that are possible."""
    with pytest.raises(ValueError, match="juki_<code>"):
        expected([Path(__file__)])
