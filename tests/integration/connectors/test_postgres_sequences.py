"""Any sequence of changes, cut into any batches, on the real database: as a plain model has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from connectors.postgres import PostgresSink, sink_role
from infra.environment import Environment
from schemas.systems import Domain
from tests.contract.sink_suite import CODEC, DOMAIN, MUNICIPALITY, Change, applied
from tests.integration.connectors import stores

#: Changes of three codes in any order of revisions; a revision always says the same, as it comes of one record.
DELETED_EVERY = 3
REFUSED_EVERY = 7


def change(code: str, revision: int) -> Change:
    """The only change of this code with this revision."""
    if revision % DELETED_EVERY == 0:
        return Change(code, revision, "DELETE")
    status = "unknown" if revision % REFUSED_EVERY == 0 else "active"
    return Change(code, revision, name=f"{code}{revision}", status=status)


changes = st.builds(change, st.sampled_from("abc"), st.integers(1, 15))
batches = st.lists(st.lists(changes, min_size=1, max_size=8), min_size=1, max_size=5)


def model(sequence: list[list[Change]]) -> dict[tuple[str, str], tuple[str | None, int]]:
    """One after the other: only a newer revision counts, also after a deletion; a refused one never."""
    newest: dict[str, Change] = {}
    for each in (change for changes in sequence for change in changes):
        older = each.code not in newest or newest[each.code].revision < each.revision
        if older and each.status != "unknown":
            newest[each.code] = each
    return {
        (code, MUNICIPALITY): (kept.name, kept.revision)
        for code, kept in newest.items()
        if kept.op == "UPSERT"
    }


@pytest.fixture
def sink(environment: Environment, make_store: Callable[[str], Domain]) -> Iterator[PostgresSink]:
    make_store(DOMAIN.id)
    sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODEC)
    yield sink
    sink.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=batches)
def test_a_store_ends_as_the_model(
    admin: Connection[Any], sink: PostgresSink, sequence: list[list[Change]]
) -> None:
    """Whatever the order and the cut, rows are the model's, and every record has its receipt or its dead letter."""
    for name in ("person", "deleted_revision", "receipt_outbox", "dead_letter_outbox", "sink_offset"):
        admin.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("local_tax", name)))
    for changes in sequence:
        applied(sink, *changes)
    assert stores.table(admin, DOMAIN, "person", "name") == model(sequence)
    told = len(stores.receipts(admin, DOMAIN)) + len(stores.letters(admin, DOMAIN))
    assert told == sum(map(len, sequence))
    assert dict(sink.open([0])) == {0: told}
