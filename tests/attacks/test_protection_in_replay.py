"""Attack 7: a replay reads the input topics in another order, and publishes addresses that the first run withheld."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from streams.testing.driver import TopologyTestDriver
from tests.attacks.protected_resident import (
    BACK_DATED,
    BEFORE_CONVERSION,
    ENDED,
    ENROLLED_LATE,
    PROTECTED,
    Submitted,
    new_driver,
    received,
    shown,
    stored,
    submit,
)

pytestmark = pytest.mark.unit

HISTORIES = {
    "protected": PROTECTED,
    "ended": ENDED,
    "back-dated": BACK_DATED,
    "enrolled late": ENROLLED_LATE,
}


def first_run(submissions: Sequence[Submitted]) -> TopologyTestDriver:
    """Return the mesh after each submission was processed before the next one arrived."""
    driver = new_driver()
    for each in received(submissions):
        submit(driver, each)
        driver.run()
    return driver


def replay(submissions: Sequence[Submitted], seed: int) -> TopologyTestDriver:
    """Return the mesh after a replay: each topic in its order, the topics in any, conversion after all other steps."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    queues: dict[str, list[Submitted]] = {}
    for each in received(submissions):
        queues.setdefault(each.topic, []).append(each)
    driver = new_driver(seed)
    while queues:
        topic = chance.choice(sorted(queues))
        submit(driver, queues[topic].pop(0))
        queues = {name: rest for name, rest in queues.items() if rest}
        for step in BEFORE_CONVERSION:
            driver.run(step)
    driver.run("conversion")
    assert not driver.dead_letters("conversion")
    return driver


@pytest.mark.parametrize("name", HISTORIES)
def test_a_replay_shows_no_address_that_was_withheld(name: str) -> None:
    """In whatever order the topics are read, with the same rows at the end."""
    expected = first_run(HISTORIES[name])
    assert shown(expected)
    assert not any(address == "秘密B" for _, address in shown(expected))
    for seed in range(6):
        replayed = replay(HISTORIES[name], seed)
        assert shown(replayed) <= shown(expected), seed
        assert stored(replayed) == stored(expected), seed


def test_a_change_in_flight_shows_no_address() -> None:
    """What conversion has not published yet when the measure begins is published without the address."""
    driver = new_driver()
    for each in received(PROTECTED[:3]):
        submit(driver, each)
        for step in BEFORE_CONVERSION:
            driver.run(step)
    driver.run("conversion")
    assert shown(driver) == set()
