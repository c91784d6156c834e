"""Hand-overs for tests: sample files as records of the `in.` topics, a key ring, and good hand-overs to spoil."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from processors.codes import DIGEST, KEY_BYTES, MESH, KeyRing
from processors.intake.csv_notices import COLUMNS
from schemas.systems import DOMAINS
from schemas.tables import table_from_rows
from streams.contract import META, Batch, Result

Row = dict[str, Any]

CSV_TOPIC, JSON_TOPIC = "in.juki-cs.131041", "in.juki.131041"
RECEIVED_MS = 1_767_225_600_000


def key_ring(first: int = 1) -> KeyRing:
    """A key for each name, none like another."""
    names = (MESH, DIGEST, *DOMAINS)
    return KeyRing({name: (bytes([first + place]) * KEY_BYTES,) for place, name in enumerate(names)})


def batch(schema: str, topic: str, rows: Sequence[Mapping[str, Any]], first_offset: int = 0) -> Batch:
    """Records of one topic, a millisecond apart."""
    meta = [
        {"topic": topic, "partition": 0, "offset": place, "timestamp_ms": RECEIVED_MS + place, "key": None}
        for place in range(first_offset, first_offset + len(rows))
    ]
    return Batch(schema, table_from_rows(schema, rows), pa.Table.from_pylist(meta, schema=META))


def row(**spoiled: Any) -> Row:
    """A good row of CSV (a move within 新宿区), spoiled as told."""
    texts = (
        "1,13104-900011,131041,転居,2026-03-03,2026-03-03,131049000001,1310490000001,42990000011,試験　一郎,"
        "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区高田馬場2丁目2番2号,,,0,"
    )
    return {**dict(zip(COLUMNS, texts.split(","), strict=True)), "line": 2, **spoiled}


def rows_batch(*notices: Sequence[Row], topic: str = CSV_TOPIC) -> Batch:
    """Notices of the gateway server, each its rows."""
    filed = [{"file": "juki_131041.csv", "line": n[0]["line"] if n else 0, "rows": list(n)} for n in notices]
    return batch("juki-cs-notice", topic, filed)


def person(**spoiled: Any) -> Row:
    """A person of an event, all fields given."""
    fields = {name: row()[name] for name in ("code", "local_number", "name", "kana", "birth_date", "sex")}
    others = {name: row()[name] for name in ("relationship", "household", "address")}
    return {**fields, **others, "protected": False, **spoiled}


def event(**spoiled: Any) -> Row:
    """A good event of a register (a first registration), spoiled as told."""
    named = {name: row()[name] for name in ("notice", "municipality", "effective_on", "recorded_on")}
    return {"line": 1, **named, "reason": "初期登録", "persons": [person()], **spoiled}


def events_batch(*events: Row, topic: str = JSON_TOPIC) -> Batch:
    """Events of a municipality's own register."""
    return batch("juki-notice", topic, events)


def rows_of(result: Result, topic: str) -> list[Row]:
    """The records of a topic."""
    return [each for output in result.outputs if output.topic == topic for each in output.table.to_pylist()]


def refusals(result: Result) -> list[tuple[str | None, str]]:
    """Number and code of what was refused."""
    every = (each for out in result.outputs if out.schema == "rejected" for each in out.table.to_pylist())
    return [(each["notice"], each["code"]) for each in every]


def csv_batch(path: Path, encoding: str = "utf-8-sig", first_offset: int = 0) -> Batch:
    """A register's file of CSV: one hand-over for each number, or person repeated under it."""
    topic = f"in.juki-cs.{path.stem.split('_')[1]}"
    return batch("juki-cs-notice", topic, list(_notices(path, encoding)), first_offset)


def _notices(path: Path, encoding: str) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""))
    notice: Row = {"rows": []}
    for line, texts in enumerate(lines, start=1):
        fault = None if len(texts) == len(COLUMNS) else "columns"
        given = dict(zip(COLUMNS, (*texts, *[None] * len(COLUMNS)), strict=False))
        filed = {**given, "line": line, "fault": fault, "raw": None}
        earlier = notice["rows"]
        begins = not earlier or earlier[0]["notice"] != given["notice"]
        if line > 1 and (begins or given["code"] in [each["code"] for each in earlier]):
            if earlier:
                yield notice
            notice = {"file": path.name, "line": line, "rows": []}
        if line > 1:
            notice["rows"].append(filed)
    yield notice


def json_batch(path: Path) -> Batch:
    """A register's file of JSON Lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(text) | {"file": path.name, "line": line} for line, text in enumerate(lines, start=1)]
    return batch("juki-notice", f"in.juki.{path.stem.split('_')[1]}", rows)


def enrolment_batches(path: Path) -> list[Batch]:
    """A file of enrolments, by the topics they are handed over to."""
    by_topic: dict[str, list[Row]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line, (domain, municipality, code, since) in enumerate(list(csv.reader(file))[1:], start=2):
            given = {"domain": domain, "municipality": municipality, "code": code, "since": since}
            topic = f"in.{domain}.{municipality}" if municipality else f"in.{domain}"
            filed = {"enrolment": given} if domain == "portal" else given
            by_topic.setdefault(topic, []).append({"file": path.name, "line": line, **filed})
    return [
        batch("portal-event" if topic == "in.portal" else "enrolment", topic, rows)
        for topic, rows in sorted(by_topic.items())
    ]
