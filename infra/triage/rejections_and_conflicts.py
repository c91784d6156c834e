"""Rejected submissions, and conflicts for a clerk.

A rejection has the origin of the submission and a reason; the submission itself stays on its input topic.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.key_file import high_sealer
from infra.submission_key import submission_opener
from infra.triage.operator_commands import submit_command
from infra.triage.records import Row, latest_by, read_rows, value_at
from processors.entities.timeline import NoEffect
from processors.rejections import RejectionCode, RejectionKind, find_repeats
from schemas.codec import Codec
from schemas.submission_schemas import OPERATOR_COMMAND, fields_of_resubmission, resubmission_in
from schemas.systems import SYSTEMS
from schemas.systems.model import SEALED
from schemas.topics import CONFLICT, conflict_topic, parse_input_topic, rejected_topic
from streams.sealed_rows import OpeningCodec

_DUPLICATE = {
    "kind": RejectionKind.DUPLICATE.value,
    "code": RejectionCode.DUPLICATE.value,
    "reason": RejectionCode.DUPLICATE.sentence,
}


@dataclass(frozen=True)
class StoredSubmission:
    """A submission as it was received: its first origin, its schema and its fields. Personal data."""

    origin: Row
    schema: str
    content: Row


def list_rejected(environment: Environment, codec: Codec, duplicates: bool = False) -> list[Row]:
    """Return rejected submissions in the order of arrival, with `duplicates` also duplicates."""
    topics = [rejected_topic(system.id) for system in SYSTEMS.values() if system.publishes]
    rejections = sorted(latest_by(read_rows(environment, codec, "rejected", topics), "id"), key=_arrival)
    repeated = find_repeats([row["id"] for row in rejections])
    rows = [
        row | _DUPLICATE if is_repeat else row for row, is_repeat in zip(rejections, repeated, strict=True)
    ]
    return [_line(row) for row in rows if duplicates or row["kind"] == "REJECTED"]


def read_submission(
    environment: Environment, codec: Codec, rejection: str, installation: Installation | None = None
) -> StoredSubmission:
    """Return the submission of the rejection with this ID. Raise OperatorError where there is no such rejection.

    One that its submitter has sealed is opened with the key file of the installation, if that is given.
    """
    rows = list_rejected(environment, codec, duplicates=True)
    row = next((row for row in rows if row["id"] == rejection), None)
    if row is None:
        raise OperatorError(f"there is no rejection {rejection!r}: `mesh rejected list` shows the IDs")
    partition = (row["topic"], row["partition"])
    schema = SYSTEMS[parse_input_topic(row["topic"])[0]].publishes or ""
    content = _decode(codec, schema, value_at(environment, partition, row["offset"]))
    if content.get(SEALED) is not None and installation is not None:
        content = submission_opener(installation).opened_row(schema, row["topic"], content)
    origin = {
        "topic": row["topic"], "partition": row["partition"], "offset": row["offset"],
        "file": content.get("file"), "line": content.get("line"),
    }  # fmt: skip
    if schema == OPERATOR_COMMAND:
        return _resubmitted(content)
    return StoredSubmission(origin, schema, content)


def resubmit(environment: Environment, codec: Codec, rejection: str) -> None:
    """Publish the operator command that submits a rejected submission again, unchanged.

    Raise OperatorError where there is no such rejection, it can't be resubmitted, or the broker doesn't accept the
    command.
    """
    submission = read_submission(environment, codec, rejection)
    try:
        fields = fields_of_resubmission(submission.schema, submission.content)
    except KeyError:
        topic = submission.origin["topic"]
        raise OperatorError(
            f"a submission of {topic} can't be resubmitted: its submitter submits another one"
        ) from None
    submit_command(environment, codec, {"command": "RESUBMIT", "origin": submission.origin, **fields})


def list_conflicts(environment: Environment, codec: Codec, withdrawn: bool = False) -> list[Row]:
    """Return open conflicts by day and ID, with `withdrawn` also those that have ended.

    Each of an event without effect has a `code`, and `reason`, a sentence; others have none.
    """
    return _listed(read_rows(environment, codec, "conflict", [CONFLICT]), withdrawn)


def list_sealed_conflicts(
    environment: Environment, codec: Codec, installation: Installation, system: str, withdrawn: bool = False
) -> list[Row]:
    """Return the conflicts of a system of the high level as `list_conflicts` does; needs the key file.

    Raise OperatorError where there is no such system of that level, KeyFileError where the key is missing.
    """
    if system not in SYSTEMS or not SYSTEMS[system].is_high:
        raise OperatorError(
            f"{system} is no system of the high level: its conflicts are in the list without --system"
        )
    topic = conflict_topic(system)
    opening = OpeningCodec(codec, high_sealer(installation.key_file), topic, "conflict")
    return _listed(read_rows(environment, opening, "conflict", [topic]), withdrawn)


def _listed(rows: list[Row], withdrawn: bool) -> list[Row]:
    conflicts = latest_by(rows, "id")
    selected = [
        {**row, "reason": _sentence(row["code"])} for row in conflicts if withdrawn or row["status"] == "OPEN"
    ]
    return sorted(selected, key=lambda row: (row["effective_on"], row["id"]))


def _sentence(code: str | None) -> str | None:
    """Return why an event has no effect; None if there is no code, or only a later release knows it."""
    known = NoEffect.__members__.get(code or "")
    return None if known is None else known.sentence


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


def _resubmitted(command: Row) -> StoredSubmission:
    """Return the submission that an earlier RESUBMIT command contains."""
    resubmission = resubmission_in(command)
    if resubmission is None:
        raise OperatorError("the rejected command contains no submission")
    return StoredSubmission(command["origin"], *resubmission)


def _decode(codec: Codec, schema: str, value: bytes) -> Row:
    table = codec.decode(schema, [value]).table
    if not table.num_rows:
        raise OperatorError(f"the record of the submission can't be decoded with schema {schema}", code=1)
    row: Row = table.to_pylist()[0]
    return row
