"""Attack: many small notices about one large household; each changes everybody in it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from processors.household import HouseholdProcessor
from processors.household import processor as household_processor
from schemas.topics import PERSON_CHANGE
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import TopologyTestDriver

pytestmark = pytest.mark.unit

MUNICIPALITY, HOUSEHOLD = "131041", "h"
RESIDENTS, NOTICES = 100, 60
#: About three notices' changes.
OUTPUT_BYTES_MAX = 65_536


def notice(number: int, **others: Any) -> dict[str, Any]:
    """Return an accepted submission of a notice."""
    origin = {
        "topic": f"in.juki.{MUNICIPALITY}",
        "partition": 0,
        "offset": number,
        "file": None,
        "line": None,
    }
    days = {"effective_on": date(2026, 3, 3), "recorded_on": date(2026, 3, 3)}
    ids = {
        "municipality": MUNICIPALITY,
        "notice": f"n-{number}",
        "digest": f"d-{number}",
        "resubmitted": False,
    }
    received = {"origin": origin, "received_at": datetime(2026, 3, 3, tzinfo=UTC)}
    return {**ids, **days, **received, "reason": "MOVED_WITHIN", **others}


def facts(**values: Any) -> dict[str, Any]:
    """Return facts of a person."""
    return {"household": HOUSEHOLD, **values}


def attacked_household(settings: PipelineSettings) -> tuple[TopologyTestDriver, list[int]]:
    """Let `household` process the attack; return the driver, and how many changes each transaction published."""
    driver = TopologyTestDriver(
        [Step("household", ["notice"], lambda topic: "notice", HouseholdProcessor())],
        settings=settings,
        partitions=1,
    )
    persons = [{"person": f"p-{number}", "facts": facts()} for number in range(RESIDENTS)]
    rows = [notice(0, reason="FIRST_REGISTERED", persons=persons)]
    rows += [
        notice(number, household=HOUSEHOLD, to={"address": f"street {number}", "household": None})
        for number in range(1, NOTICES + 1)
    ]
    driver.pipe_input("notice", "notice", rows, MUNICIPALITY)
    changes, published = list[int](), 0

    def count(call: str, when: str) -> None:
        nonlocal published
        if (call, when) == ("commit_transaction", "after"):
            total = len(driver.log.topic_records(PERSON_CHANGE))
            changes.append(total - published)
            published = total

    driver.log.on_call = count
    driver.run()
    driver.add_schemas({PERSON_CHANGE: "person-change", "rejected.juki": "rejected"})
    return driver, changes


def test_a_batch_whose_outputs_are_too_large_is_made_smaller() -> None:
    """No transaction has more than it may; each change is published once, in order; nothing becomes a dead letter."""
    driver, changes = attacked_household(PipelineSettings(output_bytes_max=OUTPUT_BYTES_MAX))
    published = driver.rows(PERSON_CHANGE)
    assert len(published) == RESIDENTS * (NOTICES + 1) == sum(changes)
    assert [row["seq"] for row in published] == [
        seq for seq in range(1, NOTICES + 2) for _ in range(RESIDENTS)
    ]
    assert max(changes) <= 10 * RESIDENTS
    assert driver.dlq_entries("household") == []
    assert driver.rows("rejected.juki") == []


def test_the_step_itself_stops_before_it_has_too_many_changes_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is called again with fewer notices."""
    monkeypatch.setattr(household_processor, "CHANGES_MAX", 3 * RESIDENTS)
    driver, changes = attacked_household(PipelineSettings())
    assert len(driver.rows(PERSON_CHANGE)) == RESIDENTS * (NOTICES + 1) == sum(changes)
    assert driver.dlq_entries("household") == []
