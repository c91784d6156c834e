"""A record of `person.change` as an entry of a person's history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processors.fan_out.history import NOTHING, Account, AccountEvent, Enrolment, Notice, given
from processors.fan_out.person import Entry
from schemas.reasons import Reason
from schemas.systems import DOMAINS

Row = Mapping[str, Any]


def entry_of(row: Row) -> Entry | str:
    """The entry, or a short reason why this version of the step can make none of the record."""
    kind = row["kind"]
    if kind in ("NOTICE", "CANCELLATION"):
        return _notice(row)
    if kind == "ENROLMENT":
        return _enrolment(row)
    if kind == "ACCOUNT" and row["account"] is not None:
        return AccountEvent(row["effective_on"], Account(**row["account"]))
    return "kind unknown to this version"


def _notice(row: Row) -> Notice | str:
    if row["case"] is None or row["reason"] in (None, Reason.UNKNOWN):
        return "reason unknown to this version"
    reason, facts = Reason(row["reason"]), row["facts"]
    return Notice(
        municipality=row["case"]["municipality"],
        number=row["case"]["notice"],
        seq=row["seq"],
        reason=reason,
        effective_on=row["effective_on"],
        facts=NOTHING if facts is None else given(reason, facts),
        protected=reason is Reason.BORN and bool(facts and facts["protected"]),
        moved_from=row["moved_from"],
        moved_to=row["moved_to"],
        cancels=row["cancels"],
    )


def _enrolment(row: Row) -> Enrolment | str:
    domain = DOMAINS.get(row["domain"])
    if domain is None or domain.enrolment is None:
        return "domain takes no enrolments"
    municipality = row["municipality"] if domain.municipal else None
    if domain.municipal and municipality is None:
        return "enrolment without a municipality"
    return Enrolment(domain.id, municipality, row["effective_on"])
