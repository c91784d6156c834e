"""The kinds of hand-overs: how each is read, judged, told apart and turned into records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from processors.codes import Cipher
from processors.intake import accepted, persons, register_events, register_rows
from processors.intake.filed import Filed
from schemas.topics import NOTICE, PERSON_CHANGE

#: Keyed digests of hand-overs, made only where they are asked for.
Digests = Callable[[], pa.Array]


@dataclass(frozen=True)
class Kind:
    """One schema of hand-overs. What `read` makes of them is passed to all the others.

    `judge` gives a judgement; `contents` what each says, file and line apart (`clean`: all are good); `numbers` the
    notices' numbers where they can be read; `records` the records of `schema` for `topic`, of hand-overs all good.
    """

    purpose: str
    topic: str
    schema: str
    key: str
    read: Callable[[Filed], Any]
    judge: Callable[[Filed, Any], pa.Array]
    contents: Callable[[Any, bool], pa.Array]
    numbers: Callable[[Any], pa.Array]
    records: Callable[[Filed, Any, Digests, Cipher], pa.Table]


def _claims(schema: str, read: Callable[[Filed], persons.Claims]) -> Kind:
    return Kind(
        schema,
        PERSON_CHANGE,
        "person-change",
        "person",
        read,
        persons.judge,
        lambda claims, _: persons.contents(claims),
        lambda claims: pa.nulls(len(claims), pa.string()),
        lambda filed, claims, _, mesh: accepted.person_changes(
            filed, claims.codes, persons.fields(claims), mesh
        ),
    )


#: By schema of the `in.` topic.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "juki-cs-notice": Kind(
            "juki-cs",
            NOTICE,
            "notice",
            "municipality",
            register_rows.rows_of,
            register_rows.judge,
            lambda rows, clean: register_rows.contents(rows, clean=clean),
            register_rows.notice_numbers,
            lambda filed, rows, digests, mesh: accepted.notices_of_rows(filed, rows, digests(), mesh),
        ),
        "juki-notice": Kind(
            "juki",
            NOTICE,
            "notice",
            "municipality",
            register_events.events_of,
            register_events.judge,
            lambda events, clean: register_events.contents(events, clean=clean),
            register_events.notice_numbers,
            lambda filed, events, digests, mesh: accepted.notices_of_events(filed, events, digests(), mesh),
        ),
        "enrolment": _claims("enrolment", persons.enrolments_of),
        "portal-event": _claims("portal-event", persons.portal_events_of),
    }
)
