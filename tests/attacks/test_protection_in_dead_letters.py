"""Attack 7: a dead letter of conversion from before the measure is retried, or repaired with an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from processors.conversion import ConversionProcessor
from schemas.tables import table_from_rows
from schemas.topics import change_topic
from streams.contract import Batch, Result, Tables
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.attacks.protected_resident import DOMAIN_IDS, ENDED, PROTECTED, new_driver, received, shown, submit
from tests.simulation.mesh import steps
from tests.unit.processors.submissions import key_ring

pytestmark = pytest.mark.unit


class FailingConversion:
    """The conversion step, but it raises on all changes until it is healed."""

    def __init__(self) -> None:
        self._inner = ConversionProcessor(key_ring())
        self.healed = False

    @property
    def tables(self) -> Mapping[str, str]:
        """The tables of the real step."""
        return self._inner.tables

    def needs_tables(self, batches: Sequence[Batch]) -> bool:
        """Return what the real step returns."""
        return self._inner.needs_tables(batches)

    def process(self, batches: Sequence[Batch], tables: Tables) -> Result:
        """Raise if any record is a change."""
        if not self.healed and any(batch.schema == "domain-change" for batch in batches):
            raise ZeroDivisionError
        return self._inner.process(batches, tables)


def failing_steps(conversion: FailingConversion) -> list[Step]:
    """Return the steps with this conversion."""
    return [
        replace(step, processor=conversion) if step.name == "conversion" else step
        for step in steps(DOMAIN_IDS)
    ]


def mesh_with_dead_letters(number: int) -> TopologyTestDriver:
    """Return the mesh after the first `number` submissions, of which conversion could publish none, healed."""
    conversion = FailingConversion()
    driver = new_driver(steps_of_mesh=failing_steps(conversion))
    for each in received(ENDED)[:number]:
        submit(driver, each)
        driver.run()
    conversion.healed = True
    driver.restart("conversion")
    return driver


def open_ids(driver: TopologyTestDriver) -> list[str]:
    """Return the ids of the open dead letters of conversion."""
    entries = driver.dlq_entries("conversion")
    return sorted({entry["digest"] for entry in entries if entry["kind"] == "DEAD_LETTER"})


def test_a_retried_dead_letter_shows_no_address() -> None:
    """The first registration failed before the measure; it and what is blocked behind it show nothing."""
    driver = mesh_with_dead_letters(len(PROTECTED))
    assert open_ids(driver)
    for digest in open_ids(driver):
        driver.send_command("conversion", "RETRY", digest)
    driver.run()
    assert open_ids(driver) == []
    assert driver.rows("domain.local-tax")
    assert shown(driver) == set()


def test_a_repair_shows_no_address_that_somebody_typed() -> None:
    """Neither with the revision of the dead letter nor with a newer one, which leaves it a dead letter."""
    for later, remaining in ((0, 0), (100, 1)):
        driver = mesh_with_dead_letters(len(PROTECTED))
        topic = change_topic("pension")
        change = driver.rows(topic)[0]
        digests = {row["digest"]: row for row in driver.dead_letters("conversion") if row["topic"] == topic}
        (digest,) = set(digests) & set(open_ids(driver))
        change["facts"] |= {"address": "どこか"}
        change["revision"] += later
        value = driver.codec.encode("domain-change", table_from_rows("domain-change", [change]))[0].as_py()
        driver.send_command("conversion", "REPAIR", digest, value)
        driver.run()
        assert shown(driver) == set()
        assert len({digest} & set(open_ids(driver))) == remaining


def test_after_the_measure_only_the_present_address_is_shown() -> None:
    """All changes of the history are dead letters or blocked; after their retry only the last address was shown."""
    driver = mesh_with_dead_letters(len(ENDED))
    for digest in open_ids(driver):
        driver.send_command("conversion", "RETRY", digest)
    driver.run()
    assert {address for _, address in shown(driver)} == {"秘密C"}
