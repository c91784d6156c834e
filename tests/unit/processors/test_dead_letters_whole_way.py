"""Notices set aside and retried: what they come to is what they would have come to at once, for everybody."""

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
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.unit.processors.household.test_lists import CITY, cancel, first, move
from tests.unit.processors.intake_output import enrolments_of, notice, notices_of
from tests.unit.processors.mesh import Row, Stores
from tests.unit.processors.test_driven import TOPICS
from tests.unit.processors.test_synthetic import registers_of

STEPS = ("household", "fan-out")


class Household(HouseholdProcessor):
    """Raises on the notices of these numbers, until it is mended."""

    def __init__(self, broken: Collection[str]) -> None:
        self.broken = set(broken)

    def process(self, batch: Batch, state: State) -> Result:
        """After its work, so that state has been changed."""
        result = super().process(batch, state)
        if self.broken.intersection(batch.table.column("notice").to_pylist()):
            raise ZeroDivisionError
        return result


class FanOut(FanOutProcessor):
    """The same, on the changes of these cases."""

    def __init__(self, broken: Collection[str]) -> None:
        self.broken = set(broken)

    def process(self, batch: Batch, state: State) -> Result:
        """After its work, so that state has been changed."""
        result = super().process(batch, state)
        cases = pc.struct_field(batch.table.column("case").combine_chunks(), "notice").to_pylist()
        if self.broken.intersection(cases):
            raise ZeroDivisionError
        return result


def driven(household: Household, fan_out: FanOut, seed: int | None = None) -> TopologyTestDriver:
    """Both steps."""
    steps = [
        Step("household", ["notice"], lambda _: "notice", household),
        Step("fan-out", ["person.change"], lambda _: "person-change", fan_out),
    ]
    driver = TopologyTestDriver(steps, seed=seed)
    driver.name_schemas(TOPICS)
    return driver


def letters(driver: TopologyTestDriver, step: str) -> list[str]:
    """The names of those that are open."""
    aside = driver.dlq_entries(step)
    return sorted({each["digest"] for each in aside if each["kind"] == "DEAD_LETTER"})


def retried(driver: TopologyTestDriver, step: str) -> None:
    """Retries until nothing is set aside any more."""
    while names := letters(driver, step):
        for name in names:
            driver.send_command(step, "RETRY", name)
        driver.run()
    assert driver.dlq_entries(step) == []


def stores(driver: TopologyTestDriver) -> Stores:
    """What domains hold."""
    told: dict[str, list[Row]] = {topic: driver.rows(topic) for topic in driver.topics() if topic in TOPICS}
    return Stores(told)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_city_ends_as_if_nothing_had_been_set_aside(tmp_path: Path, seed: int) -> None:
    """Any notices fail in either step, all of their persons' wait; mended and retried, the stores are the same."""
    write_city(tmp_path, 30, 40, seed)
    registers = [row for path in registers_of(tmp_path) for row in notices_of(path)]
    enrolments = enrolments_of(tmp_path / "enrolments.csv")
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    numbers = [row["notice"] for row in registers]
    household = Household(chance.sample(numbers, len(numbers) // 10))
    fan_out = FanOut(chance.sample(numbers, len(numbers) // 10))
    broken, whole = driven(household, fan_out, seed), driven(Household(()), FanOut(()))
    for driver in (broken, whole):
        driver.pipe_input("notice", "notice", registers, lambda row: str(row["municipality"]))
        driver.pipe_input("person.change", "person-change", enrolments, lambda row: str(row["person"]))
        driver.run()
    assert letters(broken, "household")
    assert letters(broken, "fan-out")
    household.broken.clear()
    fan_out.broken.clear()
    for step in STEPS:
        broken.restart(step)
        retried(broken, step)
    assert stores(broken).rows
    assert stores(broken).content() == stores(whole).content()


def listed(driver: TopologyTestDriver) -> list[tuple[str, str]]:
    """Case and person of each change, in order."""
    return [(row["case"]["notice"], row["person"]) for row in driver.rows("person.change")]


def household_of(broken: Collection[str], *rows: Row) -> tuple[TopologyTestDriver, Household]:
    """The first step after these notices, one after the other."""
    step = Household(broken)
    driver: Any = TopologyTestDriver(
        [Step("household", ["notice"], lambda _: "notice", step)], partitions=1, cut=1
    )
    driver.name_schemas({"person.change": "person-change"})
    driver.pipe_input("notice", "notice", rows, lambda row: str(row["municipality"]))
    driver.run()
    return driver, step


def test_a_municipality_and_a_household_go_on() -> None:
    """One member's notice fails: the other member's, and other households', are listed; the member's own wait."""
    rows = [first("1", "p", "q"), first("2", "r", household="2"), move("3", "2026-03-01", "p")]
    rows += [move("4", "2026-03-02", "q"), move("5", "2026-03-02", "r"), move("6", "2026-03-03", "p")]
    driver, _ = household_of(["3"], *rows)
    assert [case for case, _ in listed(driver)] == ["1", "1", "2", "4", "5"]


def test_a_notice_of_the_household_waits_for_its_member() -> None:
    """It means whoever lives there, and who that is isn't known yet; then all follows in order."""
    rows = [first("1", "p", "q"), notice(CITY, "2", "死亡", "2026-03-01", {"p": {}})]
    rows += [move("3", "2026-03-02", household="1"), move("4", "2026-03-03", "q")]
    driver, step = household_of(["2"], *rows)
    assert [case for case, _ in listed(driver)] == ["1", "1"]
    step.broken.clear()
    retried(driver, "household")
    assert listed(driver)[2:] == [("2", "p"), ("3", "q"), ("4", "q")]


def test_who_joins_a_household_waits_for_its_notice() -> None:
    """The notice means them too as soon as they live there; if it was before them, it stays so."""
    rows = [first("1", "p"), first("2", "q", household="2"), move("3", "2026-03-01", household="1")]
    rows += [notice(CITY, "4", "世帯合併", "2026-03-02", {"q": {"household": "1", "relationship": "妻"}})]
    driver, step = household_of(["3"], *rows)
    assert [case for case, _ in listed(driver)] == ["1", "2"]
    step.broken.clear()
    retried(driver, "household")
    assert listed(driver)[2:] == [("3", "p"), ("4", "q")]


def test_a_cancellation_waits_for_what_it_cancels() -> None:
    """By the number, and by the persons of the notice cancelled."""
    rows = [first("1", "p", "q"), move("2", "2026-03-01", "p", "q"), move("3", "2026-03-02", "p")]
    driver, step = household_of(["2"], *rows, cancel("4", "2026-03-03", "2", "q"))
    assert [case for case, _ in listed(driver)] == ["1", "1"]
    step.broken.clear()
    retried(driver, "household")
    assert [case for case, _ in listed(driver)[2:]] == ["2", "2", "3"]


def test_a_notice_of_the_household_waits_for_who_is_to_be_back() -> None:
    """A cancelled move brings its persons back to where they lived: while it is set aside, who lives there is open."""
    split = notice(CITY, "2", "世帯分離", "2026-03-01", {"p": {"household": "2", "relationship": "世帯主"}})
    rows = [first("1", "p", "q"), split, cancel("3", "2026-03-02", "2", "p")]
    driver, step = household_of(["3"], *rows, move("4", "2026-03-03", household="1"))
    assert [case for case, _ in listed(driver)] == ["1", "1", "2"]
    step.broken.clear()
    retried(driver, "household")
    assert sorted(listed(driver)[3:]) == [("3", "p"), ("4", "p"), ("4", "q")]
