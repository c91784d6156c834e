"""Attack 10: nobody can tell from the record of a disclosure whether it happened during a measure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.catalogue import catalogue
from schemas.systems import DOMAINS
from schemas.topics import disclosure_topic, domain_topic, withdrawal_topic
from tests.attacks.protected_resident import DOMAIN_IDS, PROTECTED, new_driver, received, submit

pytestmark = pytest.mark.unit

#: Long after the submissions were received, and not 00:00 of any day.
MOMENT_MS = 1_800_000_123_456


def test_a_disclosure_has_the_moment_at_which_it_happened() -> None:
    """It is the clock of the mesh when conversion publishes, to the millisecond."""
    driver = new_driver()
    submit(driver, *received(PROTECTED))
    driver.log.now_ms = MOMENT_MS
    driver.run()
    rows = [row for domain in DOMAIN_IDS for row in driver.rows(disclosure_topic(domain))]
    assert rows
    moment = datetime.fromtimestamp(MOMENT_MS / 1_000, UTC)
    assert {row["disclosed_at"] for row in rows} == {moment.replace(microsecond=456_000)}


def test_no_record_of_a_domain_has_that_moment() -> None:
    """Neither in a field nor as timestamp: two domains could join their records by it."""
    driver = new_driver()
    submit(driver, *received(PROTECTED))
    driver.log.now_ms = MOMENT_MS
    driver.run()
    withdrawals = [withdrawal_topic(domain) for domain in DOMAIN_IDS]
    driver.add_schemas(dict.fromkeys(withdrawals, "withdrawal"))
    records = [
        record
        for topic in (*map(domain_topic, DOMAIN_IDS), *withdrawals, *map(disclosure_topic, DOMAIN_IDS))
        for record in driver.records(topic)
    ]
    assert records
    assert all(record.timestamp_ms % 86_400_000 == 0 for record in records)
    for domain in DOMAINS.values():
        assert "disclosed_at" not in catalogue().arrow_schema(domain.event).names
