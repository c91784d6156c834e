"""Two domains with readings of their own, and records of the municipal one, whose columns have names that SQL reserves.

The municipal one has a column of every type; the other has the key of one text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

import pyarrow as pa

from connectors.sink import SinkBatch
from schemas.declare import PART, Entity, Reads, choice, day, opens, text, yen
from schemas.systems import DOMAINS
from schemas.systems.model import Domain
from schemas.topics import domain_topic
from streams.clients import LocalMessage

Row = dict[str, Any]

DAY: Final = date(2026, 3, 2)
MUNICIPALITY: Final = "131041"

#: Rows of a person are told apart by municipality, user and day.
LEVY: Final = Reads(
    "levy",
    Entity(
        "levy",
        "賦課",
        key=(PART, "user", "day"),
        fields=(
            text("user", "使用者", 40),
            day("day", "賦課期日"),
            yen("order", "税額"),
            text("select", "摘要", 40),
            text("place", "賦課地", 40).location(),
        ),
        events=(opens("Levied", "賦課", "order", "select", "place"),),
    ),
    ("order", "select", "place"),
    purpose="賦課",
    basis="地方税法",
)
DOMAIN: Final[Domain] = replace(DOMAINS["child"], reads=(LEVY,))

PASS: Final = Reads(
    "pass",
    Entity(
        "pass",
        "通行証",
        key=("serial",),
        fields=(text("serial", "番号", 8), choice("kind", "種別", "day", "year"), day("until", "期限")),
        events=(opens("PassIssued", "発行", "kind", "until"),),
    ),
    ("kind", "until"),
    purpose="通行",
    basis="通行法",
)
NATIONAL: Final[Domain] = replace(DOMAINS["nta"], reads=(PASS,))

_STRUCT: Final = pa.struct(
    {
        "status": pa.string(), "user": pa.string(), "day": pa.date32(), "order": pa.int64(),
        "select": pa.string(), "place": pa.string(),
    }
)  # fmt: skip
_PERSON: Final = pa.struct({name: pa.string() for name in ("status", *DOMAINS["child"].columns)})
_ACCOUNT: Final = pa.struct({"status": pa.string()})
_EVENT: Final = pa.schema(
    {
        "code": pa.string(), "entity": pa.string(), "op": pa.string(), "revision": pa.int64(),
        "municipality": pa.string(), "effective_on": pa.date32(), "case_code": pa.string(),
        "known_from": pa.date32(), "person": _PERSON, "account": _ACCOUNT, "levy": _STRUCT,
    }
)  # fmt: skip


def levy(code: str, revision: int, user: str | None = "A", **overrides: Any) -> Row:
    """Return the record of a row of a levy; overrides are of the row, or of the record if that has the field."""
    head = {name: overrides.pop(name) for name in _EVENT.names if name in overrides}
    row = {"status": "active", "user": user, "day": DAY, "order": 1200, "select": "摘要", "place": "新宿区"}
    return {
        "code": code, "entity": "levy", "op": "UPSERT", "revision": revision, "municipality": MUNICIPALITY,
        "effective_on": DAY, "levy": {**row, **overrides}, **head,
    }  # fmt: skip


def deleted(code: str, revision: int, user: str | None = "A", **overrides: Any) -> Row:
    """Return the record of a deleted row of a levy, which has its key only."""
    key = {"status": "unknown", "order": None, "select": None, "place": None}
    return levy(code, revision, user, **key, **overrides) | {"op": "DELETE"}


def events(*rows: Row) -> pa.Table:
    """Return records of the domain's topic as a table."""
    return pa.Table.from_pylist(list(rows), schema=_EVENT)


def sink_batch(rows: Sequence[Row], start: int = 0) -> SinkBatch:
    """Return records of partition 0 of the domain's topic, from offset `start` on, as they were decoded."""
    records = [
        LocalMessage((domain_topic(DOMAIN.id), 0), start + index, key_bytes=b"key", value_bytes=b"value")
        for index in range(len(rows))
    ]
    return SinkBatch(events(*rows), records, list(range(len(rows))), {0: start + len(rows)})
