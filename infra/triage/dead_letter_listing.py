"""Dead letters: what became of each, what it held, and what an officer wants done about it."""

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
from infra.key_file import sealer
from infra.triage.dlq_status import SINKS, DlqInspector
from infra.triage.operator_commands import submit_command
from infra.triage.records import Row, value_at, with_positions
from schemas.codec import Codec
from schemas.systems import SYSTEMS
from schemas.tables import EncodeError, table_from_rows
from schemas.topics import STEPS, dlq_topic, parse_input_topic, topics_of
from streams.dead_letters import OPEN, seal_context
from streams.sealing import SealedError, Sealer

#: What of a dead letter is shown in a list: where it stood and why, never what it held.
_LISTED: Final = ("step", "topic", "partition", "offset", "timestamp_ms", "command", "note")


def listed(environment: Environment, codec: Codec) -> list[Row]:
    """Every dead letter with its id `<step>/<name>`, what became of it, and how many records are parked behind it."""
    topics = [dlq_topic(step) for step in (*STEPS, *SINKS)]
    told = _letters(environment, codec, topics)
    waiting = {each["last"]["step"] for each in told if each["last"]["status"] == OPEN} - {"tracker"}
    aside = DlqInspector(environment, codec).of(sorted(waiting)) if waiting else {}
    found = []
    for each in told:
        first, last = each["first"], each["last"]
        behind = aside[first["step"]].letters if first["step"] in aside and last["status"] == OPEN else {}
        if first["step"] in SINKS and last["status"] == OPEN and first["digest"] not in behind:
            # A relay that stood still may tell late what was so before; the store knows what is open.
            each["last"] = each["ended"] or last
        found.append({**_line(each), "blocked": behind.get(first["digest"], 0)})
    return found


def shown(environment: Environment, codec: Codec, installation: Installation, wanted: str) -> Row:
    """A dead letter with what it held. Personal content. OperatorError: there is none of this id; KeyFileError."""
    told = _found(environment, codec, wanted)
    content = _content(environment, codec, sealer(installation.key_file), told)
    return {**_line(told), **content}


def act(environment: Environment, codec: Codec, wanted: str, deed: str, **more: str) -> None:
    """File an officer's act on an open letter: RETRY, REPAIR (`value`, sealed) or DISMISS (`reason`).

    OperatorError: there is none of this id, or it isn't open.
    """
    told = _found(environment, codec, wanted)
    if not told["first"]["digest"]:
        raise OperatorError(f"{wanted} is from before letters had names: nothing can be done about it")
    if told["last"]["status"] != OPEN:
        raise OperatorError(f"{wanted} is not open: it was {told['last']['status'].lower()}")
    first = told["first"]
    origin = {name: first[name] for name in ("topic", "partition", "offset")}
    letter = {"step": first["step"], "digest": first["digest"], **more}
    submit_command(environment, codec, {"command": deed, "origin": origin, "dead_letter": letter})


def sealed_value(
    environment: Environment, codec: Codec, installation: Installation, wanted: str, told: bytes
) -> str:
    """A new value for a letter's record, given as JSON: encoded, sealed, as an act has it.

    OperatorError: it is no JSON object, or does not fit the schema of the record's topic; KeyFileError.
    """
    first = _found(environment, codec, wanted)["first"]
    schema = _schema_of(first["topic"])
    try:
        content = orjson.loads(told)
        if not isinstance(content, Mapping):
            raise OperatorError("the new value is no JSON object")
        row = row_of(content, codec.catalogue.arrow_schema(schema))
        value = codec.encode(schema, table_from_rows(schema, [row], codec.catalogue)).to_pylist()[0]
    except EncodeError as error:
        raise OperatorError(f"the new value does not fit: {error}") from None
    except (ValueError, TypeError, AttributeError):
        # Its text may hold what stands in the file.
        raise OperatorError("the new value is no JSON, or a value in it is not of its field's form") from None
    place = seal_context(first["step"], first["digest"], "repair")
    return base64.b64encode(sealer(installation.key_file).seal(value, place)).decode()


def _letters(environment: Environment, codec: Codec, topics: list[str]) -> list[Row]:
    """Each letter: `first` holds the content, `last` says what it has come to, `ended` the last end that it came to."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in with_positions(environment, codec, "dead-letter", topics):
        key = (row["step"], row["topic"], row["partition"], row["offset"])
        known = found.setdefault(key, {"first": row, "last": row, "ended": None})
        known["last"] = row
        if row["status"] != OPEN:
            known["ended"] = row
        if row["value"] is not None:
            known["first"] = row
    return list(found.values())


def _line(told: Row) -> Row:
    first, last = told["first"], told["last"]
    head = {"id": _id(first), "status": last["status"], "reason": last["reason"]}
    return {**head, **{name: last[name] for name in _LISTED}}


def _id(first: Row) -> str:
    """Old letters have no name but their place."""
    return f"{first['step']}/{first['digest'] or first['at_offset']}"


def _found(environment: Environment, codec: Codec, wanted: str) -> Row:
    step = wanted.rpartition("/")[0]
    if step not in (*STEPS, *SINKS):
        raise OperatorError(f"{wanted!r} is no id of a dead letter: mesh dlq list")
    found = [each for each in _letters(environment, codec, [dlq_topic(step)]) if _id(each["first"]) == wanted]
    if not found:
        raise OperatorError(f"there is no dead letter {wanted!r}: mesh dlq list")
    # The same content may have come more than once: one that is open is the one that matters.
    return next((each for each in found if each["last"]["status"] == OPEN), found[-1])


def _content(environment: Environment, codec: Codec, opener: Sealer, told: Row) -> Row:
    first = told["first"]
    key, value = first["key"], first["value"]
    if value is None and key is None and first["reason"].endswith(":content-at-source"):
        value = value_at(environment, (first["topic"], first["partition"]), first["offset"])
    elif first["sealed"]:
        key, value = (_opened(opener, first, part) for part in ("key", "value"))
    decoded = codec.decode(_schema_of(first["topic"]), [value]).table if value is not None else None
    readable = decoded.to_pylist()[0] if decoded is not None and decoded.num_rows else None
    return {"key": _text(key), "value": readable, "bytes": _base64(value)}


def _opened(opener: Sealer, first: Row, part: str) -> bytes | None:
    if first[part] is None:
        return None
    try:
        return opener.open(first[part], seal_context(first["step"], first["digest"], part))
    except SealedError as error:
        raise OperatorError(f"{error}: it was sealed with a key that is no longer in the key file") from None


def _schema_of(topic: str) -> str:
    if topic.startswith("in."):
        return SYSTEMS[parse_input_topic(topic)[0]].publishes or ""
    return {each.name: each.schema for each in topics_of(())}[topic]


def _text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return _base64(key)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def row_of(told: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """A row of this schema; fields that it doesn't have stay, so that they are refused by name.

    ValueError, TypeError for a value that is not of its field's form.
    """
    types = {field.name: field.type for field in schema}
    return {name: value if name not in types else _value(value, types[name]) for name, value in told.items()}


def _value(value: Any, of: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(of):
        return row_of(value, pa.schema(list(of)))
    if pa.types.is_list(of):
        return [_value(each, of.value_type) for each in value]
    if pa.types.is_date(of):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(of):
        return datetime.fromisoformat(value)
    return base64.b64decode(value, validate=True) if pa.types.is_binary(of) else value
