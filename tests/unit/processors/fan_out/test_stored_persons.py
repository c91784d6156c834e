"""A person's record: what version 1 stored is read as it was meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from processors.fan_out.deserialization import read_person
from processors.fan_out.history import NO_RECEIPT, Facts, PersonNotice
from processors.fan_out.person import PersonAggregate
from processors.fan_out.serialization import write_notices, write_person
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.reasons import Reason
from schemas.tables import rows_from_table, table_from_rows

pytestmark = pytest.mark.unit

NAME = "state-fan-out-persons"
FACTS = Facts("山田　花子", "ヤマダ　ハナコ", date(1990, 1, 1), "女", "世帯主", "h1", "一丁目")
NOTICES = [
    PersonNotice("131041", "13104-1", 1, Reason.BORN, date(2026, 4, 1), FACTS, protected=True),
    PersonNotice("131041", "13104-2", 2, Reason.MOVED_OUT, date(2026, 5, 1), moved_to="131130"),
]


def test_notices_of_version_1_have_their_facts() -> None:
    """Version 1 has the facts in each notice and every period of the life; the newest version refers to the pool."""
    person = PersonAggregate()
    for notice in NOTICES:
        person.apply(notice._replace(received=NO_RECEIPT), lambda: ())
    codec, record = Codec(catalogue(), LocalSchemaIds(catalogue())), write_person(person)
    assert record["notices"][0]["facts_number"] is not None
    old = record | {"notices": write_notices(person.notices)}
    schema = catalogue().schema(NAME, 1).arrow
    table = pa.Table.from_pylist([{name: old[name] for name in schema.names}], schema)
    for version, written in ((2, table_from_rows(NAME, [record])), (1, table)):
        [stored] = rows_from_table(codec.decode(NAME, codec.encode(NAME, written, version)).table)
        assert replace(read_person(stored), known_until=person.known_until) == person
