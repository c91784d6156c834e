"""The types of submissions, by schema: how each is read, validated, compared with others, and accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from processors.codes import Cipher
from processors.intake import accepted, canonical, csv_notices, days, json_notices, persons
from processors.intake.declared_events import DeclaredEventType
from processors.intake.submissions import Submissions
from schemas.submission_schemas import GENERATED_SCHEMAS
from schemas.systems import DIGEST_PURPOSES, System
from schemas.topics import NOTICE, PERSON_CHANGE

#: Keyed digests of submissions, computed only if called.
Digests = Callable[[], pa.Array]


@dataclass(frozen=True)
class SubmissionType:
    """One schema of submissions.

    - `digest_purpose` separates the digests of these submissions from those of other schemas.
    - `topic` and `schema` are those of the accepted records; `key` is the field with their Kafka key.
    - `read` returns the columns of the submissions, which the other functions take as an argument.
    - `validate` returns the first error of each submission (see `validation`).
    - `canonical_form` returns the content of each submission without file and line as one string, equal for equal
      content; its second argument says whether all submissions are valid.
    - `notice_numbers` returns the number of each notice, null where it can't be read.
    - `accept` returns the accepted records; all submissions must be valid.
    - `is_broadcast` says whether each accepted record goes to every partition of the topic.
    - `is_sealed` says whether accepted records are published sealed, because their system is of the high level.
    - `parents` returns the index of the submission of each accepted record; None if each submission has one record.
    """

    digest_purpose: str
    topic: str
    schema: str
    key: str
    read: Callable[[Submissions], Any]
    validate: Callable[[Submissions, Any], pa.Array]
    canonical_form: Callable[[Any, bool], pa.Array]
    notice_numbers: Callable[[Any], pa.Array]
    accept: Callable[[Submissions, Any, Digests, Cipher], pa.Table]
    is_broadcast: bool = False
    is_sealed: bool = False
    parents: Callable[[Any], pa.Array | None] = lambda _: None


def _person_events(schema: str, read: Callable[[Submissions], persons.PersonEvents]) -> SubmissionType:
    return SubmissionType(
        digest_purpose=DIGEST_PURPOSES[schema],
        topic=PERSON_CHANGE,
        schema="person-change",
        key="person",
        read=read,
        validate=persons.validate,
        canonical_form=lambda events, _: persons.canonical_form(events),
        notice_numbers=lambda events: pa.nulls(len(events), pa.string()),
        accept=lambda submissions, events, _, mesh: accepted.person_changes(
            submissions, events.codes, persons.person_change_fields(events), mesh
        ),
    )


def _declared_events(schema: str, system: System) -> SubmissionType:
    declared = DeclaredEventType(system)
    return SubmissionType(
        digest_purpose=DIGEST_PURPOSES[schema],
        topic=PERSON_CHANGE,
        schema="person-change",
        key="person",
        read=declared.read,
        validate=declared.validate,
        canonical_form=lambda events, _: declared.canonical_form(events),
        notice_numbers=declared.notice_numbers,
        accept=lambda submissions, events, _, mesh: declared.person_changes(submissions, events, mesh),
        parents=declared.parents,
        is_sealed=system.is_high,
    )


#: Every type of submissions but operator commands, by schema of the input topic.
SUBMISSION_TYPES: Final[Mapping[str, SubmissionType]] = MappingProxyType(
    {
        "juki-cs-notice": SubmissionType(
            digest_purpose=DIGEST_PURPOSES["juki-cs-notice"],
            topic=NOTICE,
            schema="notice",
            key="municipality",
            read=csv_notices.csv_notices_of,
            validate=csv_notices.validate,
            canonical_form=lambda notices, all_valid: csv_notices.canonical_form(
                notices, all_valid=all_valid
            ),
            notice_numbers=csv_notices.notice_numbers,
            accept=lambda submissions, notices, digests, mesh: accepted.notices_from_csv(
                submissions, notices, digests(), mesh
            ),
        ),
        "juki-notice": SubmissionType(
            digest_purpose=DIGEST_PURPOSES["juki-notice"],
            topic=NOTICE,
            schema="notice",
            key="municipality",
            read=json_notices.json_notices_of,
            validate=json_notices.validate,
            canonical_form=lambda notices, all_valid: json_notices.canonical_form(
                notices, all_valid=all_valid
            ),
            notice_numbers=json_notices.notice_numbers,
            accept=lambda submissions, notices, digests, mesh: accepted.notices_from_json(
                submissions, notices, digests(), mesh
            ),
        ),
        "enrolment": _person_events("enrolment", persons.enrolments_of),
        "portal-event": _person_events("portal-event", persons.portal_events_of),
        "day-begun": SubmissionType(
            digest_purpose=DIGEST_PURPOSES["day-begun"],
            topic=PERSON_CHANGE,
            schema="person-change",
            key="person",
            read=lambda submissions: submissions.column("day"),
            validate=days.validate,
            canonical_form=lambda values, _: canonical.join_columns(
                [values], without_control_characters=False
            ),
            notice_numbers=lambda values: pa.nulls(len(values), pa.string()),
            accept=lambda submissions, values, *_: days.person_changes(submissions, values),
            is_broadcast=True,
        ),
        **{schema: _declared_events(schema, system) for schema, system in GENERATED_SCHEMAS.items()},
    }
)
