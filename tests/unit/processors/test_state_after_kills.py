"""Household and fan-out in the pipeline's own code: state by partition, changelogs, workers that are killed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from infra.verification.synthetic.writing import write_city
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from schemas.systems import DOMAINS
from schemas.topics import change_topic
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.unit.processors.intake_output import accounts_of, enrolments_of, notices_of
from tests.unit.processors.test_synthetic import registers_of
from tests.unit.processors.two_steps import DomainStores, Row

TOPICS = {change_topic(domain): "domain-change" for domain in DOMAINS} | {"conflict": "conflict"}


def contents_after_kills(folder: Path, seed: int) -> DomainStores:
    """Return the stores after a city's notices, enrolments and accounts, with workers killed at random."""
    steps = [
        Step("household", ["notice"], lambda _: "notice", HouseholdProcessor()),
        Step("fan-out", ["person.change"], lambda _: "person-change", FanOutProcessor()),
    ]
    driver, chance = TopologyTestDriver(steps, seed=seed), random.Random(seed)  # noqa: S311 - repeatable on purpose
    driver.add_schemas(TOPICS)
    inputs = [("notice", "notice", "municipality", notices_of(path)) for path in registers_of(folder)]
    others = [enrolments_of(folder / "enrolments.csv"), accounts_of(folder / "events_portal.jsonl")]
    inputs += [("person.change", "person-change", "person", rows) for rows in others]
    for topic, schema, key, rows in chance.sample(inputs, len(inputs)):
        driver.pipe_input(topic, schema, rows, lambda row, key=key: row[key])  # type: ignore[misc]
        driver.run(chance.choice([None, "household", "fan-out"]))
        driver.restart(chance.choice(["household", "fan-out"]))
    driver.run()
    assert not driver.dead_letters("household")
    assert not driver.dead_letters("fan-out")
    outputs: dict[str, list[Row]] = {
        topic: driver.rows(topic) for topic in driver.topics() if topic in TOPICS
    }
    return DomainStores(outputs)


@pytest.mark.parametrize("seed", [1, 2])
def test_state_survives_the_worker(tmp_path: Path, seed: int) -> None:
    """The stores end the same, whatever the batches and the moments of kills between them."""
    write_city(tmp_path, 60, 40, seed)
    first, second = contents_after_kills(tmp_path, seed), contents_after_kills(tmp_path, seed + 100)
    assert first.rows
    assert first.accounts
    assert first.content() == second.content()
