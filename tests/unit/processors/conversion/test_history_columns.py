"""Rows of histories for a domain: with the day since which they are known, and no address of a protected person."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from processors.conversion.change_columns import change_columns, domain_records
from schemas.systems import DOMAINS
from tests.unit.processors.conversion.test_conversion import FACTS, KEYS, PERSON, change, disclosed, published
from tests.unit.processors.protection_tables import measure, protected, protection_tables
from tests.unit.processors.submissions import batch

pytestmark = pytest.mark.unit

KNOWN = date(2026, 3, 9)
NTA = DOMAINS["nta"]
#: A measure that has ended: the address is shown again.
ENDED = protected(PERSON, measure(date(2026, 1, 1), date(2026, 2, 1)), addresses=[FACTS["address"]])


def converted(*records: Any, **overrides: Any) -> tuple[Any, Any]:
    """Return the address of one change for nta and the day since which it is known, by these protection records."""
    changes = [change(municipality=None, known_from=KNOWN, **overrides)]
    table = batch("domain-change", "change.nta", changes).table
    columns = change_columns(NTA, KEYS.cipher("nta"), table, protection_tables(*records))
    (record,) = domain_records(columns).to_pylist()
    return record["person"]["address"], record["known_from"]


def test_a_row_of_a_history_has_the_columns_of_the_row() -> None:
    """And the day since which it is known, on the basis of the history. A domain without one receives no such day."""
    record = published("nta", entity="PERSON_HISTORY", known_from=KNOWN)
    assert record["person"] == published("nta")["person"]
    assert record["known_from"] == KNOWN
    assert disclosed("nta", entity="PERSON_HISTORY")["legal_basis"] == NTA.history_basis
    retracted = published("nta", entity="PERSON_HISTORY", status="retracted", facts=None, known_from=KNOWN)
    assert {value for name, value in retracted["person"].items() if name != "status"} == {None}
    assert retracted["person"]["status"] == "retracted"


def test_no_history_shows_the_address_of_anybody_who_was_protected() -> None:
    """A row that shows it isn't one of the history: that comes by itself, without the address."""
    address = FACTS["address"]
    assert converted() == (address, KNOWN)
    assert converted(entity="PERSON_HISTORY") == (address, KNOWN)
    assert converted(ENDED) == (address, None)
    assert converted(ENDED, facts={**FACTS, "address": None}) == (None, KNOWN)
    assert converted(ENDED, entity="PERSON_HISTORY") == (None, KNOWN)
