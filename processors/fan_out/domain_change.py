"""A change for a domain, before it is a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from processors.fan_out.differences import ACCOUNT, Difference, visible_facts
from processors.fan_out.history import Account, Facts
from processors.fan_out.person_state import PersonState

Record = dict[str, Any]

#: The domain and the revision of a published change.
DispatchedChange = tuple[str, int]


class DomainChange(NamedTuple):
    """A change for a domain. `row` is the row in the batch of the record that caused it and has its other fields."""

    row: int
    person: str
    entity: str
    op: str
    revision: int
    municipality: str | None
    effective_on: date
    known_from: date | None = None
    status: str | None = None
    facts: Facts | None = None
    account: Account | None = None
    message: Record | None = None
    columns: Sequence[str | None] | None = None


def row_after(difference: Difference, deleted_on: date, state: PersonState) -> tuple[Any, ...]:
    """Return `op`, `effective_on` and the following fields of the `DomainChange`; for a deletion the first two."""
    row, account = difference.row, difference.account
    if difference.entity == ACCOUNT and account is not None:
        return "UPSERT", account.effective_on, account.status, None, account.account
    if row is None:
        return "DELETE", deleted_on
    return (
        "UPSERT",
        row.effective_on,
        row.status,
        visible_facts(difference.key[0], row, protected=state.protected),
    )
