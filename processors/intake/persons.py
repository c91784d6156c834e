"""Submissions about single persons: enrolments in a domain, and events of public-money accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import (
    arrow_schema,
    constant,
    empty_to_null,
    select_columns,
    struct_fields,
    struct_from_columns,
)
from processors.intake import canonical, formats, validation
from processors.intake.submissions import Submissions, equal_or_both_null
from processors.intake.validation import RuleCheck
from processors.intake.validation_codes import ValidationCode
from schemas.systems import DOMAINS

_ENROLMENT_FIELDS: Final = ("domain", "municipality", "code", "since")
_ENROLLING: Final = tuple(domain.id for domain in DOMAINS.values() if domain.enrolment is not None)
_MUNICIPAL: Final = tuple(domain.id for domain in DOMAINS.values() if domain.municipal)
_EVENTS: Final = ("REGISTERED", "CHANGED", "CLOSED")

#: Maximum number of days from the day of receipt to the day of effect.
EFFECTIVE_AFTER_RECEIPT_MAX_DAYS: Final = 60

#: Fields of an account; a closing event may omit them.
_ACCOUNT_FIELDS: Final[tuple[tuple[str, ValidationCode, formats.Check], ...]] = (
    ("holder_kana", ValidationCode.FORM_HOLDER, formats.is_holder),
    ("bank", ValidationCode.FORM_BANK, formats.is_bank),
    ("branch", ValidationCode.FORM_BRANCH, formats.is_branch),
    ("type", ValidationCode.FORM_TYPE, formats.is_account_type),
    ("number", ValidationCode.FORM_ACCOUNT_NUMBER, formats.is_account_number),
)


@dataclass(frozen=True)
class PersonEvents:
    """Submissions that are each an enrolment or an account event; the columns of the other are null.

    `source_columns` are `raw` and `fault` from the source.
    """

    enrolment: dict[str, pa.Array]
    is_enrolment: pa.Array
    account: dict[str, pa.Array]
    is_account: pa.Array
    source_columns: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.is_enrolment)

    @cached_property
    def codes(self) -> pa.Array:
        """Resident record codes."""
        return pc.coalesce(self.enrolment["code"], self.account["code"])

    @cached_property
    def days(self) -> pa.Array:
        """The day (date32) from which each takes effect, null where invalid."""
        return formats.to_date(pc.coalesce(self.enrolment["since"], self.account["effective_on"]))


def enrolments_of(submissions: Submissions) -> PersonEvents:
    """Return the submissions of a domain: each is an enrolment."""
    count = len(submissions)
    no_accounts = pa.nulls(count, arrow_schema("portal-event").field("account").type)
    return PersonEvents(
        select_columns(submissions.table, _ENROLMENT_FIELDS),
        constant(True, count, pa.bool_()),
        struct_fields(no_accounts),
        constant(False, count, pa.bool_()),
        select_columns(submissions.table, ("raw", "fault")),
    )


def portal_events_of(submissions: Submissions) -> PersonEvents:
    """Return the submissions of the portal: enrolments and account events."""
    enrolment, account = submissions.column("enrolment"), submissions.column("account")
    source_columns = select_columns(submissions.table, ("raw", "fault"))
    return PersonEvents(
        struct_fields(enrolment),
        pc.is_valid(enrolment),
        struct_fields(account),
        pc.is_valid(account),
        source_columns,
    )


def validate(submissions: Submissions, events: PersonEvents) -> pa.Array:
    """Return the first error of each submission: format, then the submitter's rights, then its day."""
    fault = events.source_columns["fault"]
    checks: list[RuleCheck] = [
        (ValidationCode.ENCODING, pc.fill_null(pc.not_equal(fault, "encoding"), True)),
        (ValidationCode.UNREADABLE, pc.is_null(fault)),
        (ValidationCode.PORTAL_EVENT, pc.xor(events.is_enrolment, events.is_account)),
        *_only_where(events.is_enrolment, _enrolment_checks(events)),
        *_only_where(events.is_account, _account_checks(events)),
        *_only_where(events.is_enrolment, _rights_checks(submissions, events)),
    ]
    in_future = validation.error_if_days_after(
        ValidationCode.EFFECTIVE_IN_FUTURE,
        events.days,
        submissions.received_on,
        EFFECTIVE_AFTER_RECEIPT_MAX_DAYS,
    )
    return validation.first_of([validation.first_error(checks, len(events)), in_future])


def _only_where(mask: pa.Array, checks: Sequence[RuleCheck]) -> list[RuleCheck]:
    return [(code, pc.or_(pc.invert(mask), pc.fill_null(passes, False))) for code, passes in checks]


def _enrolment_checks(events: PersonEvents) -> list[RuleCheck]:
    domain, municipality = events.enrolment["domain"], empty_to_null(events.enrolment["municipality"])
    is_municipal = pc.is_in(domain, value_set=pa.array(_MUNICIPAL, pa.string()))
    return [
        (ValidationCode.FORM_DOMAIN, pc.is_in(domain, value_set=pa.array(_ENROLLING, pa.string()))),
        (
            ValidationCode.FORM_MUNICIPALITY,
            pc.if_else(is_municipal, formats.is_municipality_code(municipality), pc.is_null(municipality)),
        ),
        (ValidationCode.FORM_CODE, formats.is_resident_code(events.codes)),
        (ValidationCode.FORM_SINCE, pc.is_valid(events.days)),
    ]


def _rights_checks(submissions: Submissions, events: PersonEvents) -> list[RuleCheck]:
    municipality = empty_to_null(events.enrolment["municipality"])
    return [
        (ValidationCode.NOT_DOMAIN, pc.equal(events.enrolment["domain"], submissions.system)),
        (ValidationCode.NOT_SUBMITTER, equal_or_both_null(municipality, submissions.municipality)),
    ]


def _account_checks(events: PersonEvents) -> list[RuleCheck]:
    event = events.account["event"]
    requires_all = pc.not_equal(event, "CLOSED")
    details = [
        (code, pc.if_else(pc.is_valid(column), check(column), pc.invert(requires_all)))
        for name, code, check in _ACCOUNT_FIELDS
        for column in [events.account[name]]
    ]
    return [
        (ValidationCode.FORM_EVENT, pc.is_in(event, value_set=pa.array(_EVENTS, pa.string()))),
        (ValidationCode.FORM_ACCOUNT, formats.is_account(events.account["account"])),
        (ValidationCode.FORM_CODE, formats.is_resident_code(events.codes)),
        *details,
        (ValidationCode.FORM_EFFECTIVE_ON, pc.is_valid(events.days)),
    ]


def person_change_fields(events: PersonEvents) -> dict[str, pa.Array]:
    """Return the fields of `person.change` for valid submissions."""
    details = {name: pc.fill_null(events.account[name], "") for name, _, _ in _ACCOUNT_FIELDS}
    identity = {"event": pc.fill_null(events.account["event"], "UNKNOWN")}
    identity["account"] = pc.fill_null(events.account["account"], "")
    type_ = arrow_schema("person-change").field("account").type
    return {
        "kind": pc.if_else(events.is_enrolment, "ENROLMENT", "ACCOUNT"),
        "municipality": empty_to_null(events.enrolment["municipality"]),
        "effective_on": events.days,
        "domain": events.enrolment["domain"],
        "account": struct_from_columns({**details, **identity}, type_, mask=events.is_enrolment),
    }


def canonical_form(events: PersonEvents) -> pa.Array:
    """Return the content of each submission without file and line."""
    content = [*events.enrolment.values(), *events.account.values(), *events.source_columns.values()]
    return canonical.join_columns(
        [column.cast(pa.string()) for column in content], without_control_characters=False
    )
