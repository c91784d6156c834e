"""The comparison finds each kind of difference, and says nothing of whom it concerns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference import Actual, Difference, Expected, compare, expected
from infra.verification.reference.reference_model import Detail

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
    """One person with a household of two rows in local tax, one of them with a row at the pension service."""
    local = {"domain": "local-tax", "municipality": "131041", "status": "active", "address": "甲"}
    outcome = Expected(
        rows=[
            {**local, **NAME, "relationship": "世帯主"},
            {**local, **NAME, "name": "試験　花子", "relationship": "妻"},
            {"domain": "pension", "municipality": None, "status": "active", **NAME, "address": "甲"},
        ],
        portal=[[["転居", "2026-03-01"]]],
        portal_persons=[0],
        refused=["13104-1"],
    )
    outcome.accounts = [
        {"domain": "local-tax", "municipality": "131041", "status": "active", **ACCOUNT},
        {"domain": "portal", "municipality": None, "status": "active", "account": "A1", **ACCOUNT},
    ]
    outcome.account_details = [Detail(0, "2026-03-01"), Detail(0, "2026-03-02")]
    outcome.details = [Detail(0, "2026-03-01", "131041/1"), Detail(1, "2026-03-01", "131041/1")]
    outcome.details.append(Detail(0, "2026-03-01", None))
    return outcome


def stores() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same as the stores give it: codes by domain, schemas' names, no municipality where national."""
    tax, wife, pension = (dict(row) for row in city().rows)
    tax |= {"domain": "local_tax", "code": "t0", "household_code": "h", "effective_on": "2026-03-01"}
    wife |= {"domain": "local_tax", "code": "t1", "household_code": "h", "effective_on": "2026-03-01"}
    pension |= {"code": "p0", "effective_on": "2026-03-01", "revision": 3}
    del pension["municipality"]
    message = {"code": "n0", "reason": "転居", "effective_on": "2026-03-01", "text": "…"}
    return [tax, wife, pension], [message]


def accounts() -> list[dict[str, Any]]:
    """The accounts as the stores give them."""
    tax, portal = (dict(row) for row in city().accounts)
    tax |= {"domain": "local_tax", "code": "t0", "effective_on": "2026-03-01", "revision": 2}
    portal |= {"code": "n0", "effective_on": "2026-03-02", "revision": 1}
    del portal["municipality"]
    return [tax, portal]


def test_equal_stores_differ_in_nothing() -> None:
    """Codes and revisions are no part of the comparison."""
    rows, messages = stores()
    assert compare(city(), Actual(rows, messages, ["13104-1"], accounts())) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"address": "乙"}, Difference("local-tax", "131041", "differs", 0, ("address",))),
        ({"effective_on": "2026-03-02"}, Difference("local-tax", "131041", "differs", 0, ("effective_on",))),
        ({"household_code": "h2"}, Difference("local-tax", "131041", "household-missing", 0)),
        ({"code": "t1"}, Difference("local-tax", "131041", "person-missing", 0)),
        ({"municipality": "131130"}, Difference("local-tax", "131041", "missing", 0)),
    ],
)
def test_a_changed_row_is_found(change: dict[str, str], found: Difference) -> None:
    """By place and column, never by name."""
    rows, messages = stores()
    rows[0] |= change
    differences = compare(city(), Actual(rows, messages))
    assert found in differences
    assert not any(value in repr(differences) for value in NAME.values())


@pytest.mark.parametrize(
    ("index", "change", "found"),
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
def test_a_changed_account_is_found(index: int, change: dict[str, str], found: Difference) -> None:
    """Also one that another person has: what stands beside it under its code, rows or messages, tells."""
    rows, messages = stores()
    held = accounts()
    held[index] |= change
    differences = compare(city(), Actual(rows, messages, None, held))
    assert found in differences
    assert all(it.kind.startswith("account-") for it in differences)
    assert not any(value in repr(differences) for value in (*ACCOUNT.values(), "ベツジン", "7654321"))


def test_an_account_too_many_or_too_few_is_found() -> None:
    """And where accounts are left out, nothing is said of them."""
    rows, messages = stores()
    tax, portal = accounts()
    assert Difference("portal", None, "account-missing", 1) in compare(
        city(), Actual(rows, messages, None, [tax])
    )
    twice = compare(city(), Actual(rows, messages, None, [tax, portal, portal]))
    assert Difference("portal", None, "account-unexpected", 2) in twice
    assert compare(city(), Actual(rows, messages)) == []


def test_rows_and_messages_too_many_or_too_few_are_found() -> None:
    """A row twice, a message lost, a refusal that should not be."""
    rows, _ = stores()
    differences = compare(city(), Actual([*rows, rows[2]], [], ["13104-1", "13104-2"]))
    assert {(it.domain, it.kind) for it in differences} >= {
        ("pension", "unexpected"),
        ("portal", "messages-missing"),
        ("juki", "refusal-unexpected"),
    }


def test_the_folder_of_this_file_is_no_city() -> None:
    """A file of another format is refused by its name."""
    with pytest.raises(ValueError, match="juki_<code>"):
        expected([Path(__file__)])
