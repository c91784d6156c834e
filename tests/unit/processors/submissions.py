"""Submissions for tests: sample files as records of input topics, valid submissions to override, and a key ring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from processors.codes import DIGEST, KEY_BYTES, MESH, KeyRing
from processors.intake.csv_notices import COLUMNS
from schemas.declare import ENROLLED
from schemas.systems import DOMAINS, SYSTEMS
from schemas.tables import table_from_rows
from schemas.topics import parse_input_topic
from streams.contract import META, Batch, Result
from streams.high_level import HighSealer
from streams.submission_sealing import SubmissionOpener
from tests.register_files import csv_lines, group_notices, json_lines

Row = dict[str, Any]

CSV_TOPIC, JSON_TOPIC = "in.juki-cs.131041", "in.juki.131041"
#: 1 September 2026, later than all days of the samples.
RECEIVED_MS = 1_788_188_400_000


def key_ring(first: int = 1) -> KeyRing:
    """Return a key ring with a different key for each name; keys repeat the bytes `first`, `first` + 1, …"""
    names = (MESH, DIGEST, *DOMAINS)
    return KeyRing({name: (bytes([first + index]) * KEY_BYTES,) for index, name in enumerate(names)})


def high_sealer() -> HighSealer:
    """Return the sealer of the high level."""
    return HighSealer([b"h" * KEY_BYTES])


def submission_opener() -> SubmissionOpener:
    """Return what opens submissions that were sealed for intake."""
    return SubmissionOpener([b"h" * KEY_BYTES])


def sink_sealers() -> dict[str, HighSealer]:
    """Return the sealer that conversion shares with the sink of each domain of the high level."""
    return {domain.id: HighSealer([b"s" * KEY_BYTES]) for domain in DOMAINS.values() if domain.is_high}


def batch(
    schema: str,
    topic: str,
    rows: Sequence[Mapping[str, Any]],
    first_offset: int = 0,
    received_ms: int = RECEIVED_MS,
) -> Batch:
    """Return records of one topic, with timestamps one millisecond apart, from `received_ms` on."""
    meta = [
        {"topic": topic, "partition": 0, "offset": offset, "timestamp_ms": received_ms + offset, "key": None}
        for offset in range(first_offset, first_offset + len(rows))
    ]
    return Batch(schema, table_from_rows(schema, rows), pa.Table.from_pylist(meta, schema=META))


def csv_row(**overrides: Any) -> Row:
    """Return a valid CSV row (a move within 新宿区) with some fields overridden."""
    texts = (
        "1,13104-900011,131041,転居,2026-03-03,2026-03-03,131049000001,1310490000001,42990000011,試験　一郎,"
        "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区高田馬場2丁目2番2号,,,0,"
    )
    return {**dict(zip(COLUMNS, texts.split(","), strict=True)), "line": 2, **overrides}


def csv_notices(*notices: Sequence[Row], topic: str = CSV_TOPIC) -> Batch:
    """Return CSV notices, each of its rows."""
    submissions = [
        {"file": "juki_131041.csv", "line": rows[0]["line"] if rows else 0, "rows": list(rows)}
        for rows in notices
    ]
    return batch("juki-cs-notice", topic, submissions)


def json_person(**overrides: Any) -> Row:
    """Return a person of a JSON notice with all fields, some of them overridden."""
    facts = ("name", "kana", "birth_date", "sex", "relationship", "household", "address")
    return {
        **{name: csv_row()[name] for name in ("code", "local_number", *facts)},
        "protected": False,
        **overrides,
    }


def json_notice(**overrides: Any) -> Row:
    """Return a valid JSON notice (a first registration) with some fields overridden."""
    fields = {name: csv_row()[name] for name in ("notice", "municipality", "effective_on", "recorded_on")}
    return {"line": 1, **fields, "reason": "初期登録", "persons": [json_person()], **overrides}


def json_notices(*notices: Row, topic: str = JSON_TOPIC) -> Batch:
    """Return JSON notices of a municipality's register."""
    return batch("juki-notice", topic, notices)


def card_event(**overrides: Any) -> Row:
    """Return a valid event of a declared entity (a card is issued) with some fields overridden."""
    head = {"event": "CardIssued", "number": "c-1", "code": "42990000011"}
    days = {"effective_on": "2026-03-03", "recorded_on": "2026-03-03", "expires_on": "2036-03-03"}
    return {**head, **days, "serial": "S-1", "kind": "standard", **overrides}


def records_of(result: Result, topic: str) -> list[Row]:
    """Return the output records of a topic."""
    return [row for output in result.outputs if output.topic == topic for row in output.table.to_pylist()]


def rejections(result: Result) -> list[tuple[str | None, str]]:
    """Return notice number and code of each rejection."""
    rows = (row for out in result.outputs if out.schema == "rejected" for row in out.table.to_pylist())
    return [(row["notice"], row["code"]) for row in rows]


def csv_batch(path: Path, first_offset: int = 0) -> Batch:
    """Return a register's CSV file as submissions: one for each notice number, or for a person repeated under it."""
    rows = [_csv_file_row(line, values) for line, values in csv_lines(path)]
    submissions = [
        {"file": path.name, "line": group[0]["line"], "rows": group}
        for group in group_notices(rows, lambda row: row["notice"], lambda row: row["code"])
    ]
    return batch("juki-cs-notice", f"in.juki-cs.{path.stem.split('_')[1]}", submissions, first_offset)


def _csv_file_row(line: int, values: Sequence[str]) -> Row:
    fields = dict(zip(COLUMNS, (*values, *[None] * len(COLUMNS)), strict=False))
    return {**fields, "line": line, "fault": None if len(values) == len(COLUMNS) else "columns", "raw": None}


def json_batch(path: Path) -> Batch:
    """Return a register's JSON Lines file as submissions."""
    rows = [json.loads(text) | {"file": path.name, "line": line} for line, text in json_lines(path)]
    return batch("juki-notice", f"in.juki.{path.stem.split('_')[1]}", rows)


def enrolment_batches(path: Path) -> list[Batch]:
    """Return a file of enrolments as submissions, one batch per input topic."""
    by_topic: dict[str, list[Row]] = {}
    for line, (domain, municipality, code, since) in csv_lines(path):
        topic = f"in.{domain}.{municipality}" if municipality else f"in.{domain}"
        fields = enrolment(domain, municipality, code, since)
        by_topic.setdefault(topic, []).append({"file": path.name, "line": line, **fields})
    return [
        batch(SYSTEMS[parse_input_topic(topic)[0]].publishes or "", topic, rows)
        for topic, rows in sorted(by_topic.items())
    ]


def enrolment(domain: str, municipality: str, code: str, since: str) -> Row:
    """Return an enrolment in the form of the schema that the domain publishes."""
    if SYSTEMS[domain].owns:
        return {"event": ENROLLED, "municipality": municipality, "code": code, "effective_on": since}
    fields = {"domain": domain, "municipality": municipality, "code": code, "since": since}
    return {"enrolment": fields} if SYSTEMS[domain].publishes == "portal-event" else fields
