"""Notices that failed and are retried leave the stores as if they had not failed."""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from infra.verification.synthetic.writing import write_city
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from streams.contract import Batch, Result, State
from streams.settings import PipelineSettings
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.unit.processors.household.test_acceptance import CITY, cancel, first, move
from tests.unit.processors.intake_output import enrolments_of, notice, notices_of
from tests.unit.processors.test_state_after_kills import TOPICS
from tests.unit.processors.test_synthetic import registers_of
from tests.unit.processors.two_steps import DomainStores, Row

STEPS = ("household", "fan-out")


class FailingHousehold(HouseholdProcessor):
    """The household step, but it raises on the notices of these numbers."""

    def __init__(self, failing: Collection[str]) -> None:
        self.failing = set(failing)

    def process(self, batch: Batch, state: State) -> Result:
        """Raise after processing, so that state has been changed."""
        result = super().process(batch, state)
        if self.failing.intersection(batch.table.column("notice").to_pylist()):
            raise ZeroDivisionError
        return result


class FailingFanOut(FanOutProcessor):
    """The fan-out step, but it raises on the changes of these cases."""

    def __init__(self, failing: Collection[str]) -> None:
        super().__init__()
        self.failing = set(failing)

    def process(self, batch: Batch, state: State) -> Result:
        """Raise after processing, so that state has been changed."""
        result = super().process(batch, state)
        cases = pc.struct_field(batch.table.column("case").combine_chunks(), "notice").to_pylist()
        if self.failing.intersection(cases):
            raise ZeroDivisionError
        return result


def make_driver(
    household: FailingHousehold, fan_out: FailingFanOut, seed: int | None = None
) -> TopologyTestDriver:
    """Return a driver of both steps."""
    steps = [
        Step("household", ["notice"], lambda _: "notice", household),
        Step("fan-out", ["person.change"], lambda _: "person-change", fan_out),
    ]
    driver = TopologyTestDriver(steps, seed=seed)
    driver.add_schemas(TOPICS)
    return driver


def open_dead_letters(driver: TopologyTestDriver, step: str) -> list[str]:
    """Return the digests of a step's open dead letters."""
    entries = driver.dlq_entries(step)
    return sorted({entry["digest"] for entry in entries if entry["kind"] == "DEAD_LETTER"})


def retry_all(driver: TopologyTestDriver, step: str) -> None:
    """Retry dead letters until a step's dead-letter queue is empty."""
    while digests := open_dead_letters(driver, step):
        for digest in digests:
            driver.send_command(step, "RETRY", digest)
        driver.run()
    assert driver.dlq_entries(step) == []


def stores(driver: TopologyTestDriver) -> DomainStores:
    """Return the contents of the domains' stores."""
    outputs: dict[str, list[Row]] = {
        topic: driver.rows(topic) for topic in driver.topics() if topic in TOPICS
    }
    return DomainStores(outputs)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_retried_city_equals_one_without_failures(tmp_path: Path, seed: int) -> None:
    """Notices fail in either step and block others of their persons; after the retries the stores are equal."""
    write_city(tmp_path, 30, 40, seed)
    registers = [row for path in registers_of(tmp_path) for row in notices_of(path)]
    enrolments = enrolments_of(tmp_path / "enrolments.csv")
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    numbers = [row["notice"] for row in registers]
    household = FailingHousehold(chance.sample(numbers, len(numbers) // 10))
    fan_out = FailingFanOut(chance.sample(numbers, len(numbers) // 10))
    failing, complete = (
        make_driver(household, fan_out, seed),
        make_driver(FailingHousehold(()), FailingFanOut(())),
    )
    for driver in (failing, complete):
        driver.pipe_input("notice", "notice", registers, lambda row: str(row["municipality"]))
        driver.pipe_input("person.change", "person-change", enrolments, lambda row: str(row["person"]))
        driver.run()
    assert open_dead_letters(failing, "household")
    assert open_dead_letters(failing, "fan-out")
    household.failing.clear()
    fan_out.failing.clear()
    for step in STEPS:
        failing.restart(step)
        retry_all(failing, step)
    assert stores(failing).rows
    assert stores(failing).content() == stores(complete).content()


def published_changes(driver: TopologyTestDriver) -> list[tuple[str, str]]:
    """Return case and person of each published change, in order."""
    return [(row["case"]["notice"], row["person"]) for row in driver.rows("person.change")]


def household_driver(failing: Collection[str], *rows: Row) -> tuple[TopologyTestDriver, FailingHousehold]:
    """Return the household step after these notices, one per batch."""
    step = FailingHousehold(failing)
    driver: Any = TopologyTestDriver(
        [Step("household", ["notice"], lambda _: "notice", step)],
        partitions=1,
        settings=PipelineSettings(batch_records_max=1),
    )
    driver.add_schemas({"person.change": "person-change"})
    driver.pipe_input("notice", "notice", rows, lambda row: str(row["municipality"]))
    driver.run()
    return driver, step


def test_a_failed_notice_blocks_only_its_persons() -> None:
    """Notices of other members and other households are accepted."""
    rows = [first("1", "p", "q"), first("2", "r", household="2"), move("3", "2026-03-01", "p")]
    rows += [move("4", "2026-03-02", "q"), move("5", "2026-03-02", "r"), move("6", "2026-03-03", "p")]
    driver, _ = household_driver(["3"], *rows)
    assert [case for case, _ in published_changes(driver)] == ["1", "1", "2", "4", "5"]


def test_a_household_notice_is_blocked_by_a_members_notice() -> None:
    """It applies to all residents of the household, who aren't known yet; after the retry all follow in order."""
    rows = [first("1", "p", "q"), notice(CITY, "2", "死亡", "2026-03-01", {"p": {}})]
    rows += [move("3", "2026-03-02", household="1"), move("4", "2026-03-03", "q")]
    driver, step = household_driver(["2"], *rows)
    assert [case for case, _ in published_changes(driver)] == ["1", "1"]
    step.failing.clear()
    retry_all(driver, "household")
    assert published_changes(driver)[2:] == [("2", "p"), ("3", "q"), ("4", "q")]


def test_joining_a_household_is_blocked_by_its_notice() -> None:
    """Otherwise the household's notice would apply to the new member too."""
    rows = [first("1", "p"), first("2", "q", household="2"), move("3", "2026-03-01", household="1")]
    rows += [notice(CITY, "4", "世帯合併", "2026-03-02", {"q": {"household": "1", "relationship": "妻"}})]
    driver, step = household_driver(["3"], *rows)
    assert [case for case, _ in published_changes(driver)] == ["1", "2"]
    step.failing.clear()
    retry_all(driver, "household")
    assert published_changes(driver)[2:] == [("3", "p"), ("4", "q")]


def test_a_cancellation_is_blocked_by_the_cancelled_notice() -> None:
    """It waits by the notice number, and by the persons of the cancelled notice."""
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "p", "q"), move("3", "2026-03-02", "p")]
    driver, step = household_driver(["2"], *rows, cancel("4", "2026-03-03", "2", "q"))
    assert [case for case, _ in published_changes(driver)] == ["1", "1"]
    step.failing.clear()
    retry_all(driver, "household")
    assert [case for case, _ in published_changes(driver)[2:]] == ["2", "2", "3"]


def test_a_household_notice_is_blocked_by_a_cancellation() -> None:
    """A cancelled move brings its persons back to their household: before that the residents aren't known."""
    split = notice(CITY, "2", "世帯分離", "2026-03-01", {"p": {"household": "2", "relationship": "世帯主"}})
    rows = [first("1", "p", "q"), split, cancel("3", "2026-03-02", "2", "p")]
    driver, step = household_driver(["3"], *rows, move("4", "2026-03-03", household="1"))
    assert [case for case, _ in published_changes(driver)] == ["1", "1", "2"]
    step.failing.clear()
    retry_all(driver, "household")
    assert sorted(published_changes(driver)[3:]) == [("3", "p"), ("4", "p"), ("4", "q")]
