"""Dead letters: their status, their content, and the operator commands on them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import orjson
import pyarrow as pa

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.key_file import DEAD_LETTER_KEYS, sealer
from infra.key_fingerprints import require_installed_keys
from infra.triage.dlq_status import SINKS, DlqInspector
from infra.triage.operator_commands import submit_command
from infra.triage.records import Row, read_rows_with_positions, value_at
from processors.intake.submission_limits import DEAD_LETTERS_MAX
from schemas.codec import Codec
from schemas.systems import SYSTEMS
from schemas.tables import EncodeError, table_from_rows
from schemas.topics import AUDITOR, ORDERED_STEPS, STEPS, dlq_topic, parse_input_topic, topics_of
from streams.dead_letters import OPEN, seal_context
from streams.sealing import SealedError, Sealer

#: Fields of a dead letter that a list shows: the record position and the reason, never the content.
_LISTED_COLUMNS: Final = (
    "step",
    "topic",
    "partition",
    "offset",
    "command",
    "dismissal_reason",
)


def list_dead_letters(environment: Environment, codec: Codec) -> list[Row]:
    """Return every dead letter with its ID `<step>/<digest>`, its status and the number of records behind it."""
    topics = [dlq_topic(step) for step in (*STEPS, *SINKS)]
    dead_letters = _read_dead_letters(environment, codec, topics)
    steps = {entry["last"]["step"] for entry in dead_letters if entry["last"]["status"] == OPEN} - {"tracker"}
    statuses = DlqInspector(environment, codec).statuses(sorted(steps)) if steps else {}
    rows = []
    for entry in dead_letters:
        first, last = entry["first"], entry["last"]
        is_open = last["status"] == OPEN
        blocked = statuses[first["step"]].dead_letters if first["step"] in statuses and is_open else {}
        if first["step"] in SINKS and is_open and first["digest"] not in blocked:
            # A delayed relay may publish an older status last. The store knows which dead letters are open.
            entry["last"] = entry["ended"] or last
        rows.append({**_line(entry), "blocked": blocked.get(first["digest"], 0)})
    return rows


def read_dead_letter(
    environment: Environment, codec: Codec, installation: Installation, dead_letter_id: str
) -> Row:
    """Return a dead letter with its content, which is personal data.

    Raise OperatorError where no dead letter has this ID or its key is missing, and KeyFileError.
    """
    opener = _sealer(environment, installation)
    entry = _find(environment, codec, dead_letter_id)
    content = _read_content(environment, codec, opener, entry)
    return {**_line(entry), **content}


def submit_dead_letter_command(
    environment: Environment, codec: Codec, dead_letter_id: str, command: str, **fields: str
) -> None:
    """Submit RETRY, REPAIR (field `value`, sealed) or DISMISS (field `reason`) on an open dead letter.

    Raise OperatorError where no dead letter has this ID, it is not open, or the broker doesn't accept the command.
    """
    entry = _find(environment, codec, dead_letter_id)
    if not entry["first"]["digest"]:
        raise OperatorError(f"{dead_letter_id} is of an older release and has no digest: it takes no command")
    if entry["last"]["status"] != OPEN:
        raise OperatorError(f"{dead_letter_id} is not open: it was {entry['last']['status'].lower()}")
    first = entry["first"]
    origin = {name: first[name] for name in ("topic", "partition", "offset")}
    dead_letter = {"step": first["step"], "digest": first["digest"], "digests": [], **fields}
    submit_command(environment, codec, {"command": command, "origin": origin, "dead_letter": dead_letter})


def dismiss_all(
    environment: Environment, codec: Codec, step: str, dismissal_reason: str, failure: str | None
) -> int:
    """Submit one command that dismisses all open dead letters of a step, or those whose reason begins with `failure`.

    Return how many it concerns; those that come later are not among them. Raise OperatorError where the step has no
    dead-letter queue or no such dead letter, or the broker doesn't accept the command.
    """
    if step not in (*ORDERED_STEPS, *SINKS):
        known = ", ".join((*ORDERED_STEPS, *SINKS))
        raise OperatorError(f"{step!r} is not a step with a dead-letter queue: {known}")
    entries = [
        entry["first"]
        for entry in _read_dead_letters(environment, codec, [dlq_topic(step)])
        if entry["last"]["status"] == OPEN
        and entry["first"]["digest"]
        and entry["last"]["reason"].startswith(failure or "")
    ]
    digests = list(dict.fromkeys(first["digest"] for first in entries))[:DEAD_LETTERS_MAX]
    if not digests:
        raise OperatorError(f"{step} has no such dead letter that is open: `mesh dlq list` shows them")
    dead_letter = {"step": step, "digest": "", "digests": digests, "reason": dismissal_reason}
    origin = {name: entries[0][name] for name in ("topic", "partition", "offset")}
    submit_command(environment, codec, {"command": "DISMISS", "origin": origin, "dead_letter": dead_letter})
    chosen = set(digests)
    return sum(first["digest"] in chosen for first in entries)


def seal_new_value(
    environment: Environment, codec: Codec, installation: Installation, dead_letter_id: str, content: bytes
) -> str:
    """Encode and seal JSON as the new value of a dead letter's record; return base64, as REPAIR has it.

    Raise OperatorError where it is no JSON object or does not fit the schema of the record's topic; KeyFileError.
    """
    first = _find(environment, codec, dead_letter_id)["first"]
    schema = _schema_of(first["topic"])
    try:
        fields = orjson.loads(content)
        if not isinstance(fields, Mapping):
            raise OperatorError("the new value is not a JSON object")
        row = row_from_json(fields, codec.catalogue.arrow_schema(schema))
        value = codec.encode(schema, table_from_rows(schema, [row], codec.catalogue)).to_pylist()[0]
    except EncodeError as error:
        raise OperatorError(f"the new value does not fit schema {schema}: {error}") from None
    except (ValueError, TypeError, AttributeError):
        # The error's text may contain personal data of the file.
        raise OperatorError(
            f"the new value is not JSON, or one of its values has not the type that schema {schema} requires"
        ) from None
    context = seal_context(first["step"], first["digest"], "repair")
    return base64.b64encode(_sealer(environment, installation).seal(value, context)).decode()


def _sealer(environment: Environment, installation: Installation) -> Sealer:
    """Return the sealer of the installation. Raise KeyFileError where the key file has other keys."""
    require_installed_keys(environment, installation, AUDITOR, [DEAD_LETTER_KEYS])
    return sealer(installation.key_file)


def _read_dead_letters(environment: Environment, codec: Codec, topics: list[str]) -> list[Row]:
    """Return one entry per dead letter: `first` has the content, `last` the last status, `ended` the last end."""
    entries: dict[tuple[Any, ...], Row] = {}
    for row in read_rows_with_positions(environment, codec, "dead-letter", topics):
        key = (row["step"], row["topic"], row["partition"], row["offset"])
        entry = entries.setdefault(key, {"first": row, "last": row, "ended": None})
        entry["last"] = row
        if row["status"] != OPEN:
            entry["ended"] = row
        if row["value"] is not None:
            entry["first"] = row
    return list(entries.values())


def _line(entry: Row) -> Row:
    first, last = entry["first"], entry["last"]
    head = {"id": _id(first), "status": last["status"], "reason": last["reason"]}
    # A later status has no time of the record: it needs nothing of a record that is dropped.
    time = {"timestamp_ms": first["timestamp_ms"]}
    return {**head, **{name: last[name] for name in _LISTED_COLUMNS}, **time}


def _id(first: Row) -> str:
    """Return the ID; dead letters of an older release have no digest and are identified by their offset."""
    return f"{first['step']}/{first['digest'] or first['at_offset']}"


def _find(environment: Environment, codec: Codec, dead_letter_id: str) -> Row:
    step = dead_letter_id.rpartition("/")[0]
    if step not in (*STEPS, *SINKS):
        raise OperatorError(
            f"{dead_letter_id!r} is not the ID of a dead letter: `mesh dlq list` shows the IDs"
        )
    entries = [
        entry
        for entry in _read_dead_letters(environment, codec, [dlq_topic(step)])
        if _id(entry["first"]) == dead_letter_id
    ]
    if not entries:
        raise OperatorError(f"there is no dead letter {dead_letter_id!r}: `mesh dlq list` shows the IDs")
    # Several records with the same content have the same ID: prefer one that is open.
    return next((entry for entry in entries if entry["last"]["status"] == OPEN), entries[-1])


def _read_content(environment: Environment, codec: Codec, opener: Sealer, entry: Row) -> Row:
    first = entry["first"]
    key, value = first["key"], first["value"]
    if value is None and key is None and first["reason"].endswith(":content-at-source"):
        value = value_at(environment, (first["topic"], first["partition"]), first["offset"])
    elif first["sealed"]:
        key, value = (_open(opener, first, field) for field in ("key", "value"))
    decoded = codec.decode(_schema_of(first["topic"]), [value]).table if value is not None else None
    readable = decoded.to_pylist()[0] if decoded is not None and decoded.num_rows else None
    return {"key": _text(key), "value": readable, "bytes": _base64(value)}


def _open(opener: Sealer, first: Row, field: str) -> bytes | None:
    if first[field] is None:
        return None
    try:
        return opener.open(first[field], seal_context(first["step"], first["digest"], field))
    except SealedError as error:
        raise OperatorError(f"{error}: the key that sealed it is no longer in the key file") from None


def _schema_of(topic: str) -> str:
    if topic.startswith("in."):
        return SYSTEMS[parse_input_topic(topic)[0]].publishes or ""
    return {declared.name: declared.schema for declared in topics_of(())}[topic]


def _text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return _base64(key)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def row_from_json(fields: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """Return a row of this schema. Unknown fields stay in it: the encoder then rejects them by name.

    Raise ValueError or TypeError where a value has not the format of its field's type.
    """
    types = {field.name: field.type for field in schema}
    return {
        name: value if name not in types else _typed_value(value, types[name])
        for name, value in fields.items()
    }


def _typed_value(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return row_from_json(value, pa.schema(list(type_)))
    if pa.types.is_list(type_):
        return [_typed_value(item, type_.value_type) for item in value]
    if pa.types.is_date(type_):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    return base64.b64decode(value, validate=True) if pa.types.is_binary(type_) else value
