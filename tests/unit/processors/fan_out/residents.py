"""One person's way through three municipalities, for tests of what the domains are told."""

from __future__ import annotations

from typing import Any

from tests.unit.processors.intake_output import account, enrolment, notice
from tests.unit.processors.mesh import Mesh, Row, Stores

A, B, C = "131041", "011002", "271004"
NEW = {"初期登録", "転入", "国外転入", "出生"}


class Resident:
    """The mesh as one person `p` meets it: notices of any municipality, enrolments, accounts, in the order given."""

    def __init__(self) -> None:
        self.mesh, self.number = Mesh(), 0

    def notice(self, place: str, reason: str, day: str, facts: Row | None = None, **others: Any) -> Row:
        """A record of `notice`, not yet told."""
        self.number += 1
        given = person(place, **(facts or {})) if reason in NEW else facts or {}
        return notice(place, f"{place[:5]}-{self.number}", reason, f"2026-{day}", {"p": given}, **others)

    def tell(self, *args: Any, **others: Any) -> dict[str, list[Row]]:
        """A notice through both steps; what went out, by topic."""
        return self.mesh.submit([self.notice(*args, **others)])

    def enrol(self, domain: str, place: str | None, day: str) -> dict[str, list[Row]]:
        """An enrolment."""
        return self.mesh.change([enrolment(domain, place, "p", f"2026-{day}")])

    def account(
        self, event: str, name: str, day: str, holder: str = "ヤマダ　ハナコ"
    ) -> dict[str, list[Row]]:
        """What happened to an account."""
        return self.mesh.change([account("p", f"2026-{day}", event, name, holder)])

    def cancel(self, place: str, day: str, number: str) -> dict[str, list[Row]]:
        """A cancellation."""
        return self.tell(place, "取消", day, cancels=number)

    @property
    def stores(self) -> Stores:
        """What the stores hold now."""
        return Stores(self.mesh.told)

    def row(self, domain: str, place: str | None = None) -> Row | None:
        """The person's row."""
        return self.stores.rows.get((domain, "p", place))

    def status(self, domain: str, place: str | None = None) -> str | None:
        """Its status."""
        row = self.row(domain, place)
        return None if row is None else row["status"]

    def address(self, domain: str, place: str | None = None) -> str | None:
        """The address in it."""
        row = self.row(domain, place)
        assert row is not None
        address: str | None = row["facts"]["address"]
        return address

    def terms(self) -> list[str]:
        """Reasons of the messages, sorted."""
        return sorted(each["reason"] for each in self.stores.messages.values())

    def kinds(self) -> list[str]:
        """Kinds of the conflicts that stand."""
        return sorted(each["kind"] for each in self.stores.conflicts.values())


def person(place: str, **others: Any) -> Row:
    """All facts of somebody new at a place."""
    facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
    return facts | {"relationship": "世帯主", "household": "1", "address": f"{place} 一丁目", **others}
