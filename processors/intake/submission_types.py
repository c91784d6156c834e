"""The kinds of hand-overs: how each is read, judged, told apart and turned into records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from processors.codes import Cipher
from processors.intake import accepted, csv_notices, json_notices, persons
from processors.intake.submissions import Submissions
from schemas.topics import NOTICE, PERSON_CHANGE

#: Keyed digests of hand-overs, made only where they are asked for.
Digests = Callable[[], pa.Array]


@dataclass(frozen=True)
class SubmissionType:
    """One schema of hand-overs. What `read` makes of them is passed to all the others.

    `judge` gives a judgement; `contents` what each says, file and line apart (`clean`: all are good); `numbers` the
    notices' numbers where they can be read; `records` the records of `schema` for `topic`, of hand-overs all good.
    """

    purpose: str
    topic: str
    schema: str
    key: str
    read: Callable[[Submissions], Any]
    judge: Callable[[Submissions, Any], pa.Array]
    contents: Callable[[Any, bool], pa.Array]
    numbers: Callable[[Any], pa.Array]
    records: Callable[[Submissions, Any, Digests, Cipher], pa.Table]


def _claims(schema: str, read: Callable[[Submissions], persons.Claims]) -> SubmissionType:
    return SubmissionType(
        schema,
        PERSON_CHANGE,
        "person-change",
        "person",
        read,
        persons.validate,
        lambda claims, _: persons.canonical_form(claims),
        lambda claims: pa.nulls(len(claims), pa.string()),
        lambda filed, claims, _, mesh: accepted.person_changes(
            filed, claims.codes, persons.fields(claims), mesh
        ),
    )


#: By schema of the `in.` topic.
SUBMISSION_TYPES: Final[Mapping[str, SubmissionType]] = MappingProxyType(
    {
        "juki-cs-notice": SubmissionType(
            "juki-cs",
            NOTICE,
            "notice",
            "municipality",
            csv_notices.rows_of,
            csv_notices.validate,
            lambda rows, clean: csv_notices.canonical_form(rows, clean=clean),
            csv_notices.notice_numbers,
            lambda filed, rows, digests, mesh: accepted.notices_of_rows(filed, rows, digests(), mesh),
        ),
        "juki-notice": SubmissionType(
            "juki",
            NOTICE,
            "notice",
            "municipality",
            json_notices.events_of,
            json_notices.validate,
            lambda events, clean: json_notices.canonical_form(events, clean=clean),
            json_notices.notice_numbers,
            lambda filed, events, digests, mesh: accepted.notices_of_events(filed, events, digests(), mesh),
        ),
        "enrolment": _claims("enrolment", persons.enrolments_of),
        "portal-event": _claims("portal-event", persons.portal_events_of),
    }
)
