"""What the sinks would store of the records that all steps publish."""

from __future__ import annotations

from typing import Any

from schemas.systems import DOMAINS, Domain
from schemas.topics import domain_topic
from streams.sealed_rows import opened_table
from tests.unit.processors.submissions import Row, sink_sealers
from tests.unit.processors.test_all_steps import AllSteps


def records_for(steps: AllSteps, domain: Domain) -> list[Row]:
    """Return the records of a domain's topic as its sink reads them: opened, at the high level."""
    topic = domain_topic(domain.id)
    records = steps.records.get(topic, [])
    if not domain.is_high:
        return records
    boxes = [record["sealed"] for record in records]
    table, _, reasons = opened_table(sink_sealers()[domain.id], topic, domain.event, boxes)
    assert not reasons
    rows: list[Row] = table.to_pylist()
    return rows


def readings_of(steps: AllSteps) -> dict[str, list[Row]]:
    """Return the rows of all readings but histories by table, as the sinks would store them."""
    tables: dict[str, dict[Any, Row]] = {}
    for domain in DOMAINS.values():
        for record in records_for(steps, domain):
            reads = domain.reading(record["entity"])
            if reads is None or reads.is_history:
                continue
            row = record[reads.name]
            key = (record["code"], record.get("municipality"), *(row[n] for n in reads.entity.key_fields))
            table = tables.setdefault(f"{domain.schema_name}.{reads.name}", {})
            table.pop(key, None)
            if record["op"] != "DELETE":
                names = ("code", "municipality", "effective_on")
                table[key] = {**{name: record.get(name) for name in names}, **row}
    return {table: list(rows.values()) for table, rows in tables.items()}
