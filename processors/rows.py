"""Rows of one schema as the records of a topic: where a processor that thinks in rows meets Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.tables import table_from_rows
from streams.contract import Output


def output(topic: str, schema: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Output:
    """Records of a topic: `rows` have fields of the schema (those not given are null), `keys` are theirs."""
    return Output(topic, schema, table_from_rows(schema, rows), pa.array(keys, pa.string()))
