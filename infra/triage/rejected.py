"""Refused hand-overs: a pointer and a reason; the hand-over itself stays where it was handed over."""

from __future__ import annotations

from dataclasses import dataclass

from infra.environment import Environment
from infra.errors import OperatorError
from infra.triage.operator_commands import submit_command
from infra.triage.records import Row, latest, rows, value_at
from processors.rejections import RejectionCode, RejectionKind, find_repeats
from schemas.codec import Codec
from schemas.systems import SYSTEMS
from schemas.topics import parse_input_topic, rejected_topic

#: Field of an act for each schema of hand-overs.
FIELDS = {
    "juki-cs-notice": "juki_cs",
    "juki-notice": "juki",
    "enrolment": "enrolment",
    "portal-event": "portal_event",
}
_DUPLICATE = {
    "kind": RejectionKind.DUPLICATE.value,
    "code": RejectionCode.DUPLICATE.value,
    "reason": RejectionCode.DUPLICATE.sentence,
}


def listed(environment: Environment, codec: Codec, duplicates: bool = False) -> list[Row]:
    """Refused hand-overs, and with `duplicates` the repeated ones too, in the order of their arrival."""
    topics = [rejected_topic(system.id) for system in SYSTEMS.values() if system.publishes]
    found = sorted(latest(rows(environment, codec, "rejected", topics), "id"), key=_arrival)
    again = find_repeats([row["id"] for row in found])
    told = [row | _DUPLICATE if twice else row for row, twice in zip(found, again, strict=True)]
    return [_line(row) for row in told if duplicates or row["kind"] == "REJECTED"]


def _arrival(row: Row) -> tuple[object, ...]:
    origin = row["origin"]
    return (row["received_at"], origin["topic"], origin["partition"], origin["offset"])


def _line(row: Row) -> Row:
    origin = row["origin"]
    return {
        "id": row["id"],
        "kind": row["kind"],
        "notice": row["notice"],
        "source": origin["file"] or origin["topic"],
        "line": origin["line"],
        "reason": row["reason"],
        "code": row["code"],
        "system": row["system"],
        "municipality": row["municipality"],
        "topic": origin["topic"],
        "partition": origin["partition"],
        "offset": origin["offset"],
        "received_at": row["received_at"],
    }


@dataclass(frozen=True)
class StoredSubmission:
    """A hand-over as it came: where it stood first, and its record. Personal content."""

    origin: Row
    schema: str
    content: Row


def shown(environment: Environment, codec: Codec, rejection: str) -> StoredSubmission:
    """The hand-over that a refusal points to. OperatorError: there is no such refusal."""
    every = listed(environment, codec, duplicates=True)
    row = next((row for row in every if row["id"] == rejection), None)
    if row is None:
        raise OperatorError(f"nothing refused has the id {rejection!r}: mesh rejected list")
    place = (row["topic"], row["partition"])
    schema = SYSTEMS[parse_input_topic(row["topic"])[0]].publishes or ""
    content = _decoded(codec, schema, value_at(environment, place, row["offset"]))
    origin = {
        "topic": row["topic"], "partition": row["partition"], "offset": row["offset"],
        "file": content.get("file"), "line": content.get("line"),
    }  # fmt: skip
    return _first(content) if schema == "operator-command" else StoredSubmission(origin, schema, content)


def resend(environment: Environment, codec: Codec, rejection: str) -> None:
    """An officer's act: the hand-over is to be judged anew, as it stands. Published on `in.operator`, and acknowledged."""
    found = shown(environment, codec, rejection)
    act = {"command": "RESUBMIT", "origin": found.origin, FIELDS[found.schema]: found.content}
    submit_command(environment, codec, act)


def _first(act: Row) -> StoredSubmission:
    """What an officer sent again before: the hand-over inside."""
    schema, field = next((s, f) for s, f in FIELDS.items() if act[f] is not None)
    return StoredSubmission(act["origin"], schema, act[field])


def _decoded(codec: Codec, schema: str, value: bytes) -> Row:
    table = codec.decode(schema, [value]).table
    if not table.num_rows:
        raise OperatorError("the record there can't be read as a hand-over", code=1)
    row: Row = table.to_pylist()[0]
    return row
