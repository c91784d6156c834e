"""Slots, restarts and logs of workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infra.apply.applied_declarations import AppliedDeclarations, write_applied
from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import OperatorError
from infra.run import worker
from infra.run.logs import ALLOWED, drop_unsafe
from infra.run.restart_policy import (
    EARLY_ENDS_MAX,
    LONGEST_DELAY_S,
    NOT_CONFIGURED,
    STABLE_AFTER_S,
    RestartPolicy,
)
from infra.run.slots import RUN_STEPS, Slot, groups_of, slots, steps_of
from schemas.systems import DOMAINS
from streams.worker import ExitCode


def test_all_steps_run_by_default_and_the_tracker_and_the_clock_once() -> None:
    """There is a slot per step and number, and one each for the tracker and the clock."""
    all_slots = slots([], 3)
    assert {slot.step for slot in all_slots} == set(RUN_STEPS)
    assert len(all_slots) == 3 * (len(RUN_STEPS) - 2) + 2
    assert Slot("household", 2) in all_slots


def test_a_single_sink_can_be_run() -> None:
    """`sink` is the sinks of all domains, `sink.child` is one."""
    assert steps_of("sink.child") == ["sink.child"]
    assert groups_of(slots(["sink.child"], 1)) == ["mesh.sink.child"]
    assert groups_of(slots(["sink"], 2)) == [f"mesh.sink.{domain}" for domain in DOMAINS]


def test_the_clock_is_in_no_consumer_group() -> None:
    """It reads nothing, so nobody waits until it has joined one; but it can be given up as any other."""
    assert groups_of(slots(["clock", "household"], 2)) == ["mesh.household"]
    assert steps_of("clock") == ["clock"]


@pytest.mark.parametrize(("steps", "workers"), [(["intak"], 1), (["intake"], 0), ([], 1000)])
def test_unknown_steps_and_invalid_numbers_are_errors(steps: list[str], workers: int) -> None:
    """Nothing is started then."""
    with pytest.raises(OperatorError):
        slots(steps, workers)


def test_a_killed_worker_is_restarted_at_once() -> None:
    """There is no delay, however often a worker that had started successfully is killed."""
    restarts = RestartPolicy()
    delays = [restarts.delay_after(-9, STABLE_AFTER_S) for _ in range(100)]
    assert delays == [0.0] * 100


def test_a_worker_that_never_starts_successfully_is_given_up() -> None:
    """The delays grow up to a maximum, and the number of restarts is limited."""
    restarts = RestartPolicy()
    delays = [restarts.delay_after(1, 0.2) for _ in range(EARLY_ENDS_MAX + 1)]
    growing = [delay for delay in delays if delay is not None]
    assert delays[-1] is None
    assert growing == sorted(growing)
    assert growing[-1] == LONGEST_DELAY_S
    assert restarts.total == EARLY_ENDS_MAX


def test_a_worker_is_never_given_up_for_an_unavailable_server() -> None:
    """The worker is not at fault, however long the server is down."""
    restarts = RestartPolicy()
    assert all(restarts.delay_after(10, 0.2) is not None for _ in range(10_000))


@pytest.mark.parametrize("step", ["intake", "conversion", "sink.care"])
def test_a_worker_waits_until_its_declarations_are_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It ends with a code after which it is always started again, and its log says why."""
    installation = Installation(tmp_path)
    write_applied(installation, AppliedDeclarations(number=1, digest="those of before"))
    monkeypatch.setattr(Environment, "load", Environment.model_construct)
    monkeypatch.setattr(Installation, "of_settings", lambda: installation)
    with capture_logs() as entries:
        assert worker.run(Slot(step, 0)) == ExitCode.UNAVAILABLE
    assert [(entry["event"], entry["reason"]) for entry in entries] == [
        ("worker.not-applied", "the installed declarations are not applied: run mesh apply")
    ]


def test_a_worker_that_is_not_configured_is_given_up_at_once() -> None:
    """No restart fixes a missing key file."""
    assert RestartPolicy().delay_after(NOT_CONFIGURED, 100.0) is None


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
def test_personal_data_is_dropped_from_logs(value: object) -> None:
    """Names, codes and addresses are dropped even under an allowed key."""
    line = drop_unsafe(None, "info", {"event": "x", "error": value})
    assert line == {"event": "x", "dropped": 1}


def test_an_unknown_key_is_dropped_from_logs() -> None:
    """It is dropped whatever its value is."""
    assert drop_unsafe(None, "info", {"event": "x", "address": "abc"}) == {"event": "x", "dropped": 1}


def test_technical_values_stay_in_logs() -> None:
    """Topics, offsets, counts and code locations pass."""
    line = {"event": "batch.committed", "topic": "in.juki-cs.131041", "records": 5000, "at": "pipeline.py:12"}
    assert line.keys() <= ALLOWED
    assert drop_unsafe(None, "info", dict(line)) == line
