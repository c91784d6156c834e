"""A system of which a submission may name several persons: aid for the members of a household."""

from __future__ import annotations

import pyarrow as pa

from schemas.declare import PART, Cause, Entity, Follows, changes, closes, flags, opens, person_ref, text
from schemas.systems import DOMAINS
from schemas.systems.model import Scope, System, submission_schema
from streams.contract import META, Batch
from tests.unit.processors.submissions import RECEIVED_MS, Row

MUNICIPALITY = "131041"
CODES = tuple(f"4299000001{number}" for number in range(4))

AID = Entity(
    "aid",
    "扶助",
    key=(PART, "case_number"),
    fields=(
        text("case_number", "ケース番号", 8, "^[A-Z0-9-]+$"),
        flags("kinds", "種類", "living", "housing", "care"),
        person_ref("head", "世帯主"),
    ),
    events=(
        opens("AidBegan", "開始", "kinds", "head").members(),
        opens("AidJoined", "加入", "kinds", "head"),
        changes("AidChanged", "変更", "kinds").members(),
        changes("HeadChanged", "世帯主の変更", "head"),
        closes("AidLeft", "脱退"),
    ),
    follows=(Follows("AidLeft", Cause.LEFT),),
)
SYSTEM = System(
    "aid",
    "扶助",
    Scope.MUNICIPAL,
    publishes=submission_schema("aid"),
    domain=DOMAINS["child"],
    owns=(AID,),
)
SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "line": pa.int32(),
        **dict.fromkeys(("event", "number", "effective_on", "recorded_on", "code"), pa.string()),
        "members": pa.list_(pa.string()),
        **dict.fromkeys(
            ("municipality", "cancels", "case_number", "kinds", "head", "raw", "fault"), pa.string()
        ),
    }
)
_HEAD = {"effective_on": "2026-03-03", "recorded_on": "2026-03-03", "municipality": MUNICIPALITY}


def began(**overrides: object) -> Row:
    """Return a submission by which aid begins for three persons, with some fields overridden."""
    persons = {"members": list(CODES[:3]), "head": CODES[0]}
    event = {"event": "AidBegan", "number": "a-1", "case_number": "C-1", "kinds": "living,care"}
    return {**_HEAD, **event, **persons, **overrides}


def left(**overrides: object) -> Row:
    """Return a submission by which one person leaves, with some fields overridden."""
    event = {"event": "AidLeft", "number": "a-2", "case_number": "C-1", "code": CODES[1]}
    return {**_HEAD, **event, **overrides}


def cancelled(**overrides: object) -> Row:
    """Return a cancellation of `began`, with some fields overridden."""
    event = {"event": "Cancelled", "number": "a-3", "cancels": "a-1", "members": list(CODES[:3])}
    return {**_HEAD, **event, **overrides}


def aid_batch(*rows: Row) -> Batch:
    """Return submissions as a municipality's topic has them; its name is that of a system that exists."""
    head = {"topic": f"in.child.{MUNICIPALITY}", "partition": 0, "timestamp_ms": RECEIVED_MS, "key": None}
    meta = [head | {"offset": offset} for offset in range(len(rows))]
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    return Batch("submission-aid", table, pa.Table.from_pylist(meta, schema=META))
