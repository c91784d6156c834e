"""One person in up to three municipalities, for tests of the changes that domains receive."""

from __future__ import annotations

from typing import Any

from tests.unit.processors.intake_output import account, enrolment, notice, settlement
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

A, B, C = "131041", "011002", "271004"
NEW = {"初期登録", "転入", "国外転入", "出生"}


class Resident:
    """The mesh with one person `p`: notices of any municipality, enrolments and accounts, in the order of the calls.

    Notices are received in the order in which `notice_row` returns them.
    """

    def __init__(self) -> None:
        self.steps, self.number = TwoSteps(), 0

    def notice_row(
        self, municipality: str, reason: str, day: str, facts: Row | None = None, **others: Any
    ) -> Row:
        """Return a record of `notice`, not processed yet."""
        self.number += 1
        fields = person(municipality, **(facts or {})) if reason in NEW else facts or {}
        return notice(
            municipality,
            f"{municipality[:5]}-{self.number}",
            reason,
            f"2026-{day}",
            {"p": fields},
            line=self.number,
            **others,
        )

    def submit(self, *args: Any, **others: Any) -> dict[str, list[Row]]:
        """Process a notice in both steps; return fan-out's outputs by topic."""
        return self.steps.submit([self.notice_row(*args, **others)])

    def enrol(self, domain: str, municipality: str | None, day: str) -> dict[str, list[Row]]:
        """Process an enrolment; return fan-out's outputs by topic."""
        return self.steps.change([enrolment(domain, municipality, "p", f"2026-{day}")])

    def account(
        self, event: str, name: str, day: str, holder: str = "ヤマダ　ハナコ"
    ) -> dict[str, list[Row]]:
        """Process an account event; return fan-out's outputs by topic."""
        return self.steps.change([account("p", f"2026-{day}", event, name, holder)])

    def cancel(self, municipality: str, day: str, number: str) -> dict[str, list[Row]]:
        """Process a cancellation; return fan-out's outputs by topic."""
        return self.submit(municipality, "取消", day, cancels=number)

    def settle(self, municipality: str, number: str, registered_in: str, *, taken_back: bool = False) -> None:
        """Process an operator's settlement of the registration that began with this notice."""
        self.number += 1
        row = settlement("p", municipality, number, registered_in, line=self.number, taken_back=taken_back)
        self.steps.change([row])

    def account_status(self, domain: str, municipality: str | None = None) -> str | None:
        """Return the status of the account that a domain received, or None."""
        account = self.stores.accounts.get((domain, "p", municipality))
        return None if account is None else account["status"]

    @property
    def stores(self) -> DomainStores:
        """The contents of the domains' stores now."""
        return DomainStores(self.steps.outputs)

    def row(self, domain: str, municipality: str | None = None) -> Row | None:
        """Return the person's row, or None."""
        return self.stores.rows.get((domain, "p", municipality))

    def status(self, domain: str, municipality: str | None = None) -> str | None:
        """Return the row's status, or None."""
        row = self.row(domain, municipality)
        return None if row is None else row["status"]

    def address(self, domain: str, municipality: str | None = None) -> str | None:
        """Return the row's address."""
        row = self.row(domain, municipality)
        assert row is not None
        address: str | None = row["facts"]["address"]
        return address

    def message_reasons(self) -> list[str]:
        """Return the reasons of all messages, sorted."""
        return sorted(message["reason"] for message in self.stores.messages.values())

    def conflict_kinds(self) -> list[str]:
        """Return the kinds of open conflicts, sorted."""
        return sorted(conflict["kind"] for conflict in self.stores.conflicts.values())


def person(municipality: str, **others: Any) -> Row:
    """Return all facts of a new resident of a municipality."""
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    return facts | {"relationship": "世帯主", "household": "1", "address": f"{municipality} 一丁目", **others}
