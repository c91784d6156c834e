"""What domains and the portal file of persons: enrolments, and what happened to public-money accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import arrow_schema, columns, constant, fields_of, none_to_null, struct
from processors.intake import canonical, formats, validation
from processors.intake.submissions import Submissions, agreed
from processors.intake.validation import Finding
from processors.intake.validation_codes import ValidationCode
from schemas.systems import DOMAINS

_ENROLMENT: Final = ("domain", "municipality", "code", "since")
_TAKING: Final = tuple(domain.id for domain in DOMAINS.values() if domain.enrolment is not None)
_MUNICIPAL: Final = tuple(domain.id for domain in DOMAINS.values() if domain.municipal)
_EVENTS: Final = ("REGISTERED", "CHANGED", "CLOSED")

#: What an account has; closing needs none of it.
_OF_ACCOUNT: Final[tuple[tuple[str, ValidationCode, formats.Check], ...]] = (
    ("holder_kana", ValidationCode.FORM_HOLDER, formats.is_holder),
    ("bank", ValidationCode.FORM_BANK, formats.is_bank),
    ("branch", ValidationCode.FORM_BRANCH, formats.is_branch),
    ("type", ValidationCode.FORM_TYPE, formats.is_account_type),
    ("number", ValidationCode.FORM_ACCOUNT_NUMBER, formats.is_account_number),
)


@dataclass(frozen=True)
class Claims:
    """Hand-overs that each are an enrolment or an account; the columns of the other are null."""

    enrolment: dict[str, pa.Array]
    enrols: pa.Array
    account: dict[str, pa.Array]
    accounts: pa.Array
    unread: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.enrols)

    @cached_property
    def codes(self) -> pa.Array:
        """Resident record codes."""
        return pc.coalesce(self.enrolment["code"], self.account["code"])

    @cached_property
    def days(self) -> pa.Array:
        """Days from which they hold; null where it is none."""
        return formats.to_date(pc.coalesce(self.enrolment["since"], self.account["effective_on"]))


def enrolments_of(hand_overs: Submissions) -> Claims:
    """Hand-overs of a domain: each is an enrolment."""
    count = len(hand_overs)
    nobody = pa.nulls(count, arrow_schema("portal-event").field("account").type)
    return Claims(
        columns(hand_overs.table, _ENROLMENT),
        constant(True, count, pa.bool_()),
        fields_of(nobody),
        constant(False, count, pa.bool_()),
        columns(hand_overs.table, ("raw", "fault")),
    )


def portal_events_of(hand_overs: Submissions) -> Claims:
    """Hand-overs of the portal: enrolments and accounts."""
    enrolment, account = hand_overs.column("enrolment"), hand_overs.column("account")
    unread = columns(hand_overs.table, ("raw", "fault"))
    return Claims(
        fields_of(enrolment), pc.is_valid(enrolment), fields_of(account), pc.is_valid(account), unread
    )


def validate(hand_overs: Submissions, claims: Claims) -> pa.Array:
    """Form, then rights; null where there is nothing to refuse."""
    fault = claims.unread["fault"]
    findings: list[Finding] = [
        (ValidationCode.ENCODING, pc.fill_null(pc.not_equal(fault, "encoding"), True)),
        (ValidationCode.UNREADABLE, pc.is_null(fault)),
        (ValidationCode.PORTAL_EVENT, pc.xor(claims.enrols, claims.accounts)),
        *_only(claims.enrols, _enrolment(claims)),
        *_only(claims.accounts, _account(claims)),
        *_only(claims.enrols, _rights(hand_overs, claims)),
    ]
    return validation.first_fault(findings, len(claims))


def _only(applies: pa.Array, findings: Sequence[Finding]) -> list[Finding]:
    return [(fault, pc.or_(pc.invert(applies), pc.fill_null(good, False))) for fault, good in findings]


def _enrolment(claims: Claims) -> list[Finding]:
    domain, place = claims.enrolment["domain"], none_to_null(claims.enrolment["municipality"])
    municipal = pc.is_in(domain, value_set=pa.array(_MUNICIPAL, pa.string()))
    return [
        (ValidationCode.FORM_DOMAIN, pc.is_in(domain, value_set=pa.array(_TAKING, pa.string()))),
        (
            ValidationCode.FORM_MUNICIPALITY,
            pc.if_else(municipal, formats.is_municipality_code(place), pc.is_null(place)),
        ),
        (ValidationCode.FORM_CODE, formats.is_resident_code(claims.codes)),
        (ValidationCode.FORM_SINCE, pc.is_valid(claims.days)),
    ]


def _rights(hand_overs: Submissions, claims: Claims) -> list[Finding]:
    place = none_to_null(claims.enrolment["municipality"])
    return [
        (ValidationCode.NOT_DOMAIN, pc.equal(claims.enrolment["domain"], hand_overs.system)),
        (ValidationCode.NOT_SUBMITTER, agreed(place, hand_overs.municipality)),
    ]


def _account(claims: Claims) -> list[Finding]:
    event = claims.account["event"]
    full = pc.not_equal(event, "CLOSED")
    details = [
        (fault, pc.if_else(pc.is_valid(column), check(column), pc.invert(full)))
        for name, fault, check in _OF_ACCOUNT
        for column in [claims.account[name]]
    ]
    return [
        (ValidationCode.FORM_EVENT, pc.is_in(event, value_set=pa.array(_EVENTS, pa.string()))),
        (ValidationCode.FORM_ACCOUNT, formats.is_account(claims.account["account"])),
        (ValidationCode.FORM_CODE, formats.is_resident_code(claims.codes)),
        *details,
        (ValidationCode.FORM_EFFECTIVE_ON, pc.is_valid(claims.days)),
    ]


def fields(claims: Claims) -> dict[str, pa.Array]:
    """Fields of `person.change`, of claims that are all good."""
    filled = {name: pc.fill_null(claims.account[name], "") for name, _, _ in _OF_ACCOUNT}
    identity = {"event": pc.fill_null(claims.account["event"], "UNKNOWN")}
    identity["account"] = pc.fill_null(claims.account["account"], "")
    type_ = arrow_schema("person-change").field("account").type
    return {
        "kind": pc.if_else(claims.enrols, "ENROLMENT", "ACCOUNT"),
        "municipality": none_to_null(claims.enrolment["municipality"]),
        "effective_on": claims.days,
        "domain": claims.enrolment["domain"],
        "account": struct({**filled, **identity}, type_, mask=claims.enrols),
    }


def canonical_form(claims: Claims) -> pa.Array:
    """What each hand-over says, file and line apart."""
    said = [*claims.enrolment.values(), *claims.account.values(), *claims.unread.values()]
    return canonical.joined([column.cast(pa.string()) for column in said], clean=False)
