"""The protection measures of a person, and their record for conversion: when, and which addresses may be shown now.

Why conversion needs it is in docs/decisions/protection.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processors.fan_out.domains import ADDRESS, VISIBLE_FACTS
from processors.fan_out.history import PersonNotice, received_at
from processors.fan_out.person_state import DomainRow, PersonState, Protection, RowKey


def protections_after(protections: tuple[Protection, ...], notice: PersonNotice) -> tuple[Protection, ...]:
    """Return the measures after a notice that begins one while none is in force, or ends the one in force."""
    at = received_at(notice.received)
    if notice.begins_protection:
        return (*protections, Protection(notice.effective_on, None, at, None))
    # State of an earlier version may have a measure in force without its times.
    ended = [each._replace(until=notice.effective_on, ended_at=at) for each in protections[-1:]]
    return (*protections[:-1], *ended)


def has_visible_address(key: RowKey, row: DomainRow) -> bool:
    """Return whether a domain sees the address of this row, unless a measure withholds it."""
    return row.open and ADDRESS in VISIBLE_FACTS[key[0]] and row.facts.address is not None


def _shown_addresses(state: PersonState) -> list[str]:
    """Return the addresses that the person's rows show now, each once, in a stable order."""
    if state.protected:
        return []
    rows = (row for key, row in state.rows.items() if has_visible_address(key, row))
    return sorted({row.facts.address for row in rows if row.facts.address is not None})


def protection_record(
    person: str, before: PersonState, after: PersonState, revisions: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return the record of topic `protection` if it differs after a change; None if it doesn't, or for nearly all.

    `revisions` are the person's revisions by domain, after the change.
    """
    if not after.ever_protected:
        return None
    record = _content(after)
    if before.ever_protected and record == _content(before):
        return None
    latest = [{"domain": domain, "revision": revision} for domain, revision in sorted(revisions.items())]
    return {"person": person, **record, "revisions": latest}


def _content(state: PersonState) -> dict[str, Any]:
    return {
        "measures": [protection._asdict() for protection in state.protections],
        "addresses": _shown_addresses(state),
    }
