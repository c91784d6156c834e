"""Waiting ends with a reason where it would not help: without servers, on what an inspection returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.apply.installation import Installation
from infra.monitoring import blockages, waiting
from infra.monitoring.blockages import (
    BEYOND_END_TIMEOUT_S,
    NO_WORKER_TIMEOUT_S,
    BlockageDetector,
    BlockedError,
)
from infra.monitoring.groups import GroupMembers
from infra.monitoring.stages import StageLag
from infra.run.given_up import GivenUpSinks, given_up_sinks, given_up_workers
from infra.run.slots import Slot
from infra.run.supervisor import RunningSupervisor, WorkerState
from streams.lag import Lag

SINK = "sink.local-tax"
TOPIC = "domain.local-tax"


def worker(step: str, slot: int = 0, state: str = "running", code: int | None = None) -> WorkerState:
    """Return the state of a worker of the process with number 7."""
    return WorkerState(step, slot, state, 7, 0, code)


def stage(step: str, committed: int = 5, end: int = 5, remaining: int = 0) -> StageLag:
    """Return a stage with one partition."""
    return StageLag(step, {(TOPIC, 3): Lag(committed, end, remaining)})


class Mesh:
    """What the supervisor and Kafka's groups say; `now` is the detector's clock."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installation = Installation(folder)
        self.installation.run_folder.mkdir(parents=True)
        self.workers: list[WorkerState] = []
        self.members: dict[str, list[str]] = {}
        self.now = 0.0
        monkeypatch.setattr(
            blockages, "running_supervisor", lambda _: RunningSupervisor(7, tuple(self.workers))
        )
        monkeypatch.setattr(blockages, "describe_groups", self._groups)
        admin: Any = None
        self.detector = BlockageDetector(admin, self.installation, lambda: self.now)

    def _groups(self, _: object, names: set[str]) -> dict[str, GroupMembers]:
        return {
            name: GroupMembers(stable=True, members=dict.fromkeys(self.members.get(name, []), ()))
            for name in names
        }

    def check(self, *stages: StageLag) -> str:
        """Return why the mesh is blocked; empty if it is not."""
        try:
            self.detector.check(stages)
        except BlockedError as error:
            return str(error) if error.code == 1 else "another exit code"
        return ""


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """Return a mesh without workers."""
    return Mesh(tmp_path, monkeypatch)


def test_an_offset_beyond_the_end_blocks_when_it_lasts(mesh: Mesh) -> None:
    """A broker that has just lost its role may return an old end; a later inspection then has the right one."""
    beyond = stage(SINK, committed=412, end=120)
    assert not mesh.check(beyond)
    mesh.now = BEYOND_END_TIMEOUT_S
    assert not mesh.check(stage(SINK, committed=412, end=412))
    assert not mesh.check(beyond)
    mesh.now += BEYOND_END_TIMEOUT_S + 1
    text = mesh.check(beyond)
    for part in (SINK, "412", "120", f"{TOPIC}/3", "its store", "mesh replay --yes"):
        assert part in text


def test_the_two_stages_of_one_step_are_watched_apart(mesh: Mesh) -> None:
    """Conversion reads changes, and later receipts."""
    beyond, fine = stage("conversion", committed=412, end=120), stage("conversion")
    assert not mesh.check(beyond, fine)
    mesh.now = BEYOND_END_TIMEOUT_S + 1
    assert "its group" in mesh.check(beyond, fine)


def test_an_offset_beyond_the_end_of_a_sink_that_was_given_up_blocks_at_once(mesh: Mesh) -> None:
    """The text names the sink's worker and why it was given up."""
    mesh.workers = [worker("sink")]
    _give_up(mesh, SINK, 15)
    text = mesh.check(stage(SINK, committed=412, end=120))
    assert text.startswith("sink.local-tax.0 (exit code 15, LOST_RECORDS) was given up")


def test_a_step_whose_workers_were_all_given_up_blocks(mesh: Mesh) -> None:
    """With input or without: its lag says nothing. A member of its group that has ended doesn't count."""
    mesh.workers = [worker("household", state="given-up", code=13), worker("intake")]
    mesh.members = {"mesh.household": ["mesh.household.0"]}
    for remaining in (0, 3):
        text = mesh.check(stage("intake"), stage("household", remaining=remaining, end=8))
        assert text.startswith("household.0 (exit code 13, BROKEN_STEP) was given up")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_another_worker_of_the_step_takes_over(mesh: Mesh, elsewhere: bool) -> None:
    """Here or on another machine: then waiting helps."""
    mesh.workers = [worker("household", state="given-up", code=13)]
    mesh.members = {"mesh.household": ["mesh.household.0"]}
    if elsewhere:
        mesh.members["mesh.household"].append("mesh.household.1")
    else:
        mesh.workers.append(worker("household", slot=1))
    assert not mesh.check(stage("household", remaining=3))


def test_only_stages_that_count_block(mesh: Mesh) -> None:
    """The first stages of a replay don't wait for the sinks."""
    mesh.workers = [worker("sink", state="given-up", code=15), worker("intake")]
    assert not mesh.check(stage("intake"))


def test_input_without_a_worker_blocks_when_it_lasts(mesh: Mesh) -> None:
    """A killed worker is restarted meanwhile."""
    waiting_input = stage("household", remaining=3)
    assert not mesh.check(waiting_input)
    mesh.now = NO_WORKER_TIMEOUT_S + 1
    assert "3 records wait before household, which has no worker" in mesh.check(waiting_input)


def test_a_process_that_was_given_up_has_given_up_all_its_sinks(mesh: Mesh) -> None:
    """`sink` is the sinks of all domains."""
    running = RunningSupervisor(7, (worker("sink", state="given-up", code=78),))
    assert {w.step for w in given_up_workers(mesh.installation, running)} >= {SINK, "sink.care"}


def test_a_sink_that_an_earlier_process_has_given_up_runs_again(mesh: Mesh) -> None:
    """Its file has the number of that process."""
    _give_up(mesh, SINK, 15)
    assert given_up_sinks(mesh.installation, worker("sink")) == {SINK: 15}
    later = WorkerState("sink", 0, "running", 8, 1, None)
    assert given_up_sinks(mesh.installation, later) == {}


def test_what_is_left_names_an_offset_beyond_the_end() -> None:
    """Its number of remaining records is 0."""
    text = waiting.describe_lags([stage(SINK, committed=412, end=120)])
    assert text == "0 before sink.local-tax (an offset lies beyond the end of the log)"


def _give_up(mesh: Mesh, step: str, code: int) -> None:
    """Write the file of the process with number 7."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: 7)
        GivenUpSinks(mesh.installation, Slot("sink", 0)).add(step, code)
