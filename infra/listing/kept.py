"""Conflicts and dead letters."""

from __future__ import annotations

import base64

from infra.environment import Environment
from infra.errors import OperatorError
from infra.listing.records import Row, latest, placed, rows
from schemas.codec import Codec
from schemas.systems import DOMAINS
from schemas.topics import CONFLICT, STEPS, dlq_topic, sink_step

#: What of a dead letter is shown in a list: where it stood and why, never what it held.
_LISTED = ("step", "reason", "topic", "partition", "offset", "timestamp_ms")


def conflicts(environment: Environment, codec: Codec, withdrawn: bool = False) -> list[Row]:
    """Conflicts that are open, and with `withdrawn` those that passed."""
    found = latest(rows(environment, codec, "conflict", [CONFLICT]), "id")
    chosen = [row for row in found if withdrawn or row["status"] == "OPEN"]
    return sorted(chosen, key=lambda row: (row["effective_on"], row["id"]))


def dead_letters(environment: Environment, codec: Codec) -> list[Row]:
    """Every dead letter, with its id `<step>/<offset>`."""
    topics = [dlq_topic(step) for step in (*STEPS, *map(sink_step, DOMAINS))]
    found = placed(environment, codec, "dead-letter", topics)
    return [{"id": _id(row), **{name: row[name] for name in _LISTED}} for row in found]


def dead_letter(environment: Environment, codec: Codec, wanted: str) -> Row:
    """A dead letter with what it held, base64. Personal content. OperatorError: there is none of this id."""
    step = wanted.rpartition("/")[0]
    if step not in (*STEPS, *map(sink_step, DOMAINS)):
        raise OperatorError(f"{wanted!r} is no id of a dead letter: mesh dlq list")
    for row in placed(environment, codec, "dead-letter", [dlq_topic(step)]):
        if _id(row) == wanted:
            return {"id": wanted, **{name: row[name] for name in _LISTED}, **_content(row)}
    raise OperatorError(f"there is no dead letter {wanted!r}: mesh dlq list")


def _id(row: Row) -> str:
    return f"{row['at_topic'].removeprefix('dlq.')}/{row['at_offset']}"


def _content(row: Row) -> Row:
    return {name: _text(row[name]) for name in ("key", "value")}


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
