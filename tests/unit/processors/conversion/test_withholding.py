"""Which addresses are shown to a domain of somebody who is or was protected."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from schemas.topics import PROTECTION
from streams.errors import TableBehindError
from tests.unit.processors.conversion.test_conversion import CONVERSION, FACTS, PERSON, change
from tests.unit.processors.protection_tables import RowsTable, measure, protected, protection_tables
from tests.unit.processors.submissions import Row, batch, records_of

ADDRESS = FACTS["address"]
DAY = date(2026, 3, 3)
BEFORE, AFTER = date(2026, 3, 1), date(2026, 3, 9)


def addresses(record: Row | None, domain: str = "nta", **overrides: Any) -> list[str | None]:
    """Return the address that one change of revision 3, effective on DAY, is published with."""
    changes = [batch("domain-change", f"change.{domain}", [change(**overrides)])]
    tables = protection_tables(record) if record else {PROTECTION: RowsTable({PERSON: None})}
    result = CONVERSION.process(changes, tables)
    for disclosure in records_of(result, f"disclosure.{domain}"):
        shown = [row["person"]["address"] for row in records_of(result, f"domain.{domain}")]
        assert ("address" in disclosure["fields"]) == (shown != [None])
    return [row["person"]["address"] for row in records_of(result, f"domain.{domain}")]


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (protected(PERSON, measure(BEFORE), nta=5), False),
        (protected(PERSON, measure(AFTER), nta=5), False),
        (protected(PERSON, measure(BEFORE), addresses=[ADDRESS], nta=5), False),
        (protected(PERSON, measure(BEFORE, DAY), addresses=[ADDRESS], nta=5), True),
        (protected(PERSON, measure(BEFORE, DAY), addresses=["elsewhere"], nta=5), False),
        (protected(PERSON, measure(BEFORE, AFTER), addresses=[ADDRESS], nta=5), False),
        (protected(PERSON, measure(DAY, AFTER), addresses=[ADDRESS], nta=5), False),
        (protected(PERSON, measure(AFTER, AFTER), addresses=[ADDRESS], nta=5), True),
        (protected(PERSON, addresses=[ADDRESS], nta=2), True),
        (protected(PERSON, addresses=[], nta=3), False),
        (protected("another person", measure(BEFORE)), True),
        (None, False),
    ],
)
def test_an_address_is_shown_if_the_persons_rows_show_it_now(record: Row | None, shown: bool) -> None:
    """And no measure is in force, nor was on the day of effect. A record that can't be read shows none."""
    assert addresses(record) == [ADDRESS if shown else None]


def test_an_address_that_the_table_does_not_know_yet_stops_the_step() -> None:
    """The change is newer than the person's record, so the table isn't current: nothing may be decided by it."""
    with pytest.raises(TableBehindError):
        addresses(protected(PERSON, measure(BEFORE, DAY), addresses=["old"], nta=2, card=9))


def test_only_the_address_is_withheld() -> None:
    """All other columns of the row, and rows of others in the batch, are as without the measure."""
    record, other = protected(PERSON, measure(BEFORE), nta=5), change(facts=FACTS | {"address": None})
    result = CONVERSION.process(
        [batch("domain-change", "change.nta", [change(), other])], protection_tables(record)
    )
    first, second = records_of(result, "domain.nta")
    assert first == second


def test_tables_are_needed_only_for_addresses() -> None:
    """A batch of receipts, or of changes without address, costs no request."""
    with_address = batch("domain-change", "change.nta", [change()])
    without = batch(
        "domain-change", "change.nta", [change(facts=None), change(facts=FACTS | {"address": None})]
    )
    receipts = batch("receipt-domain", "receipt.nta", [])
    assert CONVERSION.needs_tables([receipts, with_address])
    assert not CONVERSION.needs_tables([receipts, without])


def withdrawn(record: Row) -> dict[str, list[tuple[str, int]]]:
    """Return the withdrawals that follow from a record of `protection`, by topic."""
    result = CONVERSION.process([batch("protection", PROTECTION, [record])], {})
    return {
        output.topic: [(row["code"], row["revision"]) for row in output.table.to_pylist()]
        for output in result.outputs
    }


def test_a_measure_in_force_withdraws_the_address_in_domains_with_changes() -> None:
    """Under the domain's own code; the portal has no addresses, and others have not heard of the person."""
    (record,) = records_of(
        CONVERSION.process([batch("domain-change", "change.nta", [change()])], protection_tables()),
        "domain.nta",
    )
    of_measure = withdrawn(protected(PERSON, measure(BEFORE, DAY), measure(DAY), nta=7, portal=3))
    assert of_measure == {"withdrawal.nta": [(record["code"], 7)]}


def test_the_end_of_a_measure_withdraws_nothing() -> None:
    """What is published afterwards has a higher revision than the withdrawal."""
    assert withdrawn(protected(PERSON, measure(BEFORE, DAY), addresses=[ADDRESS], nta=7)) == {}


def test_a_record_of_an_unknown_person_is_poison() -> None:
    """The other records of the batch are converted."""
    records = [protected("no code", measure(DAY), nta=1), protected(PERSON, measure(DAY), nta=1)]
    result = CONVERSION.process([batch("protection", PROTECTION, records)], {})
    assert [(poison.index, poison.reason) for poison in result.poison] == [(0, "bad-code")]
    assert len(records_of(result, "withdrawal.nta")) == 1
