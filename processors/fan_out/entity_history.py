"""What is stored of one declared entity of a person: submissions, and what was last published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import Any, Final, NamedTuple

from processors.entities.rows import ENTITIES, RowId
from processors.entities.timeline import Submission, Values

#: System, part ("" for a national system) and number of a submission.
SubmissionId = tuple[str, str, str]

_SUBMISSION: Final = itemgetter(*Submission._fields)


class WithoutEffect(NamedTuple):
    """Of a submission without effect: the day on which it would have one, and the code of the reason (`NoEffect`).

    A conflict from before codes were recorded has none.
    """

    effective_on: date
    code: str | None


@dataclass(slots=True)
class EntityHistory:
    """The submissions about one entity of a person in the order of arrival, and what was last published of it.

    `rows` are the digests of the rows sent, `conflicts` the submissions that are reported as being without effect.
    """

    submissions: list[Submission] = field(default_factory=list)
    rows: dict[RowId, str] = field(default_factory=dict)
    conflicts: dict[SubmissionId, WithoutEffect] = field(default_factory=dict)


def read_entity(entity_id: str, stored: Mapping[str, Any]) -> EntityHistory:
    """Return the history of an entity from its record.

    A submission from before a field was declared has no value of it: fields are only added at the end.
    """
    entity = ENTITIES.get(entity_id)
    count = 0 if entity is None else len(entity.fields)
    return EntityHistory(
        [_read_submission(submission, count) for submission in stored["submissions"]],
        {
            RowId(row["domain"], row["reading"], row["part"], tuple(row["key"])): row["digest"]
            for row in stored["rows"]
        },
        {
            (c["system"], c["part"] or "", c["number"]): WithoutEffect(c["effective_on"], c["code"])
            for c in stored["conflicts"]
        },
    )


def _read_submission(stored: Mapping[str, Any], count: int) -> Submission:
    submission = Submission._make(_SUBMISSION(stored))
    return submission._replace(fields=filled_up(submission.fields, count))


def filled_up(fields: Sequence[str | None], count: int) -> Values:
    """Return the values of a submission, None for those of fields that were declared later; a cancellation has none."""
    return (*fields, *(None,) * (count - len(fields))) if fields else ()


def write_entity(history: EntityHistory) -> dict[str, Any]:
    """Return the record of the history of an entity."""
    return {
        "submissions": [{**s._asdict(), "fields": list(s.fields)} for s in history.submissions],
        "rows": [
            {"domain": domain, "reading": reading, "part": part, "key": key, "digest": digest}
            # In an order that doesn't depend on how they came about.
            for (domain, reading, part, key), digest in sorted(history.rows.items(), key=_order)
        ],
        "conflicts": [
            {"system": system, "part": part or None, "number": number, **without_effect._asdict()}
            for (system, part, number), without_effect in history.conflicts.items()
        ],
    }


def _order(sent: tuple[RowId, str]) -> tuple[str, str, str, tuple[str, ...]]:
    domain, reading, part, key = sent[0]
    return domain, reading, part or "", key
