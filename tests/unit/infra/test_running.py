"""Slots, restarts and logs of workers."""

from __future__ import annotations

import pytest

from infra.errors import OperatorError
from infra.run.logs import ALLOWED, without_persons
from infra.run.restart_policy import ENDS_MAX, HOPELESS, LONGEST_DELAY_S, STARTED_WELL_S, RestartPolicy
from infra.run.slots import RUN_STEPS, Slot, groups_of, slots, steps_of


def test_all_steps_run_by_default_and_the_tracker_once() -> None:
    """A process for each step and slot."""
    chosen = slots([], 3)
    assert {slot.step for slot in chosen} == set(RUN_STEPS)
    assert len(chosen) == 3 * (len(RUN_STEPS) - 1) + 1
    assert Slot("household", 2) in chosen


def test_a_single_sink_can_be_run() -> None:
    """`sink` is all of them, `sink.child` that one."""
    assert steps_of("sink.child") == ["sink.child"]
    assert groups_of(slots(["sink.child"], 1)) == ["mesh.sink.child"]
    assert len(groups_of(slots(["sink"], 2))) == 7


@pytest.mark.parametrize(("steps", "workers"), [(["intak"], 1), (["intake"], 0), ([], 1000)])
def test_a_misspelt_step_is_said(steps: list[str], workers: int) -> None:
    """Nothing is started then."""
    with pytest.raises(OperatorError):
        slots(steps, workers)


def test_a_killed_worker_is_back_at_once() -> None:
    """The first new start comes at once, again and again where it lived well in between."""
    restarts = RestartPolicy()
    delays = [restarts.after(-9, STARTED_WELL_S) for _ in range(100)]
    assert delays == [0.0] * 100


def test_a_worker_that_never_comes_up_is_given_up() -> None:
    """With pauses that grow, and an end."""
    restarts = RestartPolicy()
    delays = [restarts.after(1, 0.2) for _ in range(ENDS_MAX + 1)]
    waited = [delay for delay in delays if delay is not None]
    assert delays[-1] is None
    assert waited == sorted(waited)
    assert waited[-1] == LONGEST_DELAY_S
    assert restarts.total == ENDS_MAX


def test_a_server_that_is_away_is_waited_for() -> None:
    """Nothing is wrong with a worker then, however long it takes."""
    restarts = RestartPolicy()
    assert all(restarts.after(10, 0.2) is not None for _ in range(10_000))


def test_what_no_start_mends_is_not_tried_again() -> None:
    """A missing key file."""
    assert RestartPolicy().after(HOPELESS, 100.0) is None


@pytest.mark.parametrize(
    "value",
    [
        "山田　花子",
        "42000079191",
        "person 42000079191",
        "東京都新宿区四谷3丁目3番3号",
        "ヤマダ",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ["42000079191"],
        {"name": "x"},
        "a" * 200,
    ],
)
def test_no_person_comes_into_a_log(value: object) -> None:
    """Under a key that is allowed, too."""
    line = without_persons(None, "info", {"event": "x", "error": value})
    assert line == {"event": "x", "dropped": 1}


def test_an_unknown_key_does_not_pass() -> None:
    """Whatever it holds."""
    assert without_persons(None, "info", {"event": "x", "address": "abc"}) == {"event": "x", "dropped": 1}


def test_what_operators_need_passes() -> None:
    """Topics, offsets, counts, names of errors."""
    line = {"event": "batch.committed", "topic": "in.juki-cs.131041", "records": 5000, "at": "pipeline.py:12"}
    assert line.keys() <= ALLOWED
    assert without_persons(None, "info", dict(line)) == line
