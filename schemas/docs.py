"""Generates docs/events.md, the reference of every schema and field, from the Avro files.

`python -m schemas.docs` writes the page; a test compares it with the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.catalogue import Catalogue, Schema, catalogue
from schemas.systems import DOMAINS
from schemas.topics import TopicDeclaration, domain_topic, topics_of
from schemas.types import AvroType, Field

PATH: Final = Path(__file__).parent.parent / "docs" / "events.md"

_INTRODUCTION: Final = """\
# Events, field by field

Generated from `schemas/avro/` by `python -m schemas.docs`; don't edit it by hand.

A record's value is in Confluent's wire format: a zero byte, the schema's ID in the registry (4 bytes, big-endian), and
the record in Avro. The subject is `<topic>-value`, the compatibility FULL_TRANSITIVE. `?`: the field may be null.
`date` is Avro's logical type (days since 1970-01-01); `timestamp-millis` and `timestamp-micros` are UTC. `[]` means the
items of an array, `{}` the values of a map. P is the setting `partitions`.
"""


def render(schemas: Catalogue) -> str:
    """Return the whole page, sorted by name of the schema."""
    topics = topics_of(["<municipality>"])
    return "\n".join([_INTRODUCTION, *(_section(schemas.schema(name), topics) for name in schemas.names)])


def _section(schema: Schema, topics: list[TopicDeclaration]) -> str:
    lines = [f"## {schema.name}", "", f"{schema.type.name}, version {schema.version}. {schema.type.doc}", ""]
    lines += [_topic(topic) for topic in topics if topic.schema == schema.name]
    lines += [
        f"- in the boxes of `{domain_topic(domain.id)}` (sealed-record)"
        for domain in DOMAINS.values()
        if domain.is_high and domain.event == schema.name
    ]
    lines += ["", "| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [_row(path, field) for path, field in _fields(schema.type, "")]
    return "\n".join([*lines, ""])


def _topic(topic: TopicDeclaration) -> str:
    retention = "compacted" if topic.compacted else "kept for ever"
    return (
        f"- `{topic.name}`, {topic.partitions} partition{'' if topic.partitions == 1 else 's'}, {retention}; "
        f"written by {_users(topic.writers) or '`mesh apply`'}, read by {_users(topic.readers)}"
    )


def _users(users: tuple[str, ...]) -> str:
    return ", ".join(f"`{user}`" for user in users)


def _fields(record: AvroType, prefix: str) -> Iterator[tuple[str, Field]]:
    for field in record.fields:
        path = f"{prefix}{field.name}"
        yield path, field
        inner = field.type
        while inner.items:
            path += "[]" if inner.kind == "array" else "{}"
            inner = inner.items
        yield from _fields(inner, f"{path}.")


def _row(path: str, field: Field) -> str:
    default = f"`{json.dumps(field.default, ensure_ascii=False)}`" if field.has_default else ""
    meaning = field.doc.replace("|", "\\|")
    return f"| `{path}` | {_type(field.type)} | {default} | {meaning} |"


def _type(avro: AvroType) -> str:
    optional = "?" if avro.nullable else ""
    if avro.kind == "enum":
        return f"{avro.name}{optional}: {', '.join(avro.symbols)}"
    if avro.items:
        return f"{avro.kind}{optional} of {_type(avro.item)}"
    return f"{avro.name or avro.kind}{optional}"


def main() -> int:
    """Write the page."""
    PATH.write_text(render(catalogue()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
