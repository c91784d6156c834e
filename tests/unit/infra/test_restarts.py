"""Restarts on request: their order, and the supervisor's part, with small processes in place of workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.errors import NotAppliedError
from infra.run import rolling_restart
from infra.run import supervisor as supervisor_module
from infra.run.given_up import GivenUpSinks
from infra.run.prewarmed import PrewarmedWorker
from infra.run.restart_requests import RestartRequests, request_restart
from infra.run.rolling_restart import READERS_FIRST, in_order, to_restart
from infra.run.slots import RUN_STEPS, Slot, slots
from infra.run.supervisor import RunningSupervisor, Supervisor, WorkerState, running_supervisor

TIMEOUT_S = 20.0
SLOTS = [Slot("household", 0), Slot("household", 1)]
#: A worker that runs until SIGTERM; the other one finds its key file wrong.
RUNS = "import time; time.sleep(60)"
IS_NOT_CONFIGURED = "raise SystemExit(78)"


def test_every_step_has_a_place_in_the_order() -> None:
    """A step without one could not be restarted."""
    assert set(READERS_FIRST) == set(RUN_STEPS)


def test_readers_of_a_topic_are_restarted_before_its_writers() -> None:
    """Fan-out must know a new domain before intake writes its first enrolment; a single sink is a sink."""
    shuffled = [*slots([], 2), Slot("sink.child", 0)]
    steps = [slot.step for slot in in_order(shuffled)]
    assert list(dict.fromkeys(steps)) == [
        "tracker", "sink", "sink.child", "conversion", "fan-out", "household", "intake", "clock",
    ]  # fmt: skip


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation without servers."""
    installation = Installation(tmp_path)
    installation.run_folder.mkdir()
    return installation


def test_workers_of_another_generation_or_given_up_are_restarted(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers under a supervisor of an earlier release have none."""
    monkeypatch.setattr(rolling_restart, "installed_generation", lambda: "new")
    states = [
        WorkerState("intake", 0, "running", 1, 0, None, "old"),
        WorkerState("household", 0, "running", 2, 0, None, "new"),
        WorkerState("fan-out", 0, "given-up", None, 0, 12, "old"),
        WorkerState("fan-out", 1, "given-up", None, 0, 78, "new"),
        WorkerState("conversion", 0, "running", 3, 0, None),
    ]
    found = to_restart(installation, RunningSupervisor(9, tuple(states)))
    assert found == [Slot("conversion", 0), Slot("fan-out", 0), Slot("fan-out", 1), Slot("intake", 0)]
    assert to_restart(installation, None) == []


def test_a_process_with_a_sink_that_was_given_up_is_restarted(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other sinks go on, so it runs; what an earlier process of the slot gave up doesn't count."""
    monkeypatch.setattr(rolling_restart, "installed_generation", lambda: "new")
    of_all, of_care = Slot("sink", 0), Slot("sink.care", 0)
    for slot in (of_all, of_care):
        GivenUpSinks(installation, slot).add("sink.care", 78)
    states = (
        WorkerState("sink", 0, "running", os.getpid(), 0, None, "new"),
        WorkerState("sink.care", 0, "running", os.getpid() + 1, 0, None, "new"),
    )
    assert to_restart(installation, RunningSupervisor(9, states)) == [of_all]


def test_nothing_is_restarted_before_the_declarations_are_applied(installation: Installation) -> None:
    """The new workers could not process anything, and the old ones do."""
    environment = Environment.model_construct()  # type: ignore[call-arg]
    with pytest.raises(NotAppliedError, match="run `mesh apply`"):
        rolling_restart.restart(environment, installation, print)


Programs = dict[str, str]


@pytest.fixture
def programs(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Run a supervisor of two slots; yield the program by slot that its next worker runs, which a test changes."""
    programs = {slot.name: RUNS for slot in SLOTS}

    def start(slot: Slot, log: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", programs[slot.name]])

    monkeypatch.setattr(supervisor_module, "_start_cold", start)
    monkeypatch.setattr(PrewarmedWorker, "ensure", lambda self: None)
    supervisor = Supervisor(installation, SLOTS)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield programs
    finally:
        supervisor.stop()
        thread.join(TIMEOUT_S)


def wait_for(installation: Installation, slot: Slot, condition: Callable[[WorkerState], bool]) -> WorkerState:
    """Return the state of a slot's worker as soon as it meets the condition."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        running = running_supervisor(installation)
        for state in running.workers if running else ():
            if (state.step, state.slot) == (slot.step, slot.number) and condition(state):
                return state
        time.sleep(0.02)
    raise AssertionError(f"{slot.name} is not as expected after {TIMEOUT_S} s")


def test_a_requested_worker_is_restarted_and_no_other(
    installation: Installation, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new process is of the generation that is installed then."""
    before = [wait_for(installation, slot, lambda state: state.state == "running") for slot in SLOTS]
    monkeypatch.setattr(supervisor_module, "installed_generation", lambda: "new")
    request_restart(installation, SLOTS[1])
    after = wait_for(
        installation, SLOTS[1], lambda state: state.state == "running" and state.pid != before[1].pid
    )
    assert after.generation == "new"
    assert after.restarts == before[1].restarts + 1
    assert wait_for(installation, SLOTS[0], lambda state: True) == before[0]


def test_a_worker_that_was_given_up_is_started_again(installation: Installation, programs: Programs) -> None:
    """An operator has fixed what was wrong; until then nothing is tried."""
    wait_for(installation, SLOTS[1], lambda state: state.state == "running")
    programs[SLOTS[1].name] = IS_NOT_CONFIGURED
    request_restart(installation, SLOTS[1])
    wait_for(installation, SLOTS[1], lambda state: state.state == "given-up")
    programs[SLOTS[1].name] = RUNS
    request_restart(installation, SLOTS[1])
    assert wait_for(installation, SLOTS[1], lambda state: state.state == "running").pid


def test_a_worker_that_does_not_end_is_killed(installation: Installation) -> None:
    """It gets the time that every worker gets."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    now = [0.0]
    requests = RestartRequests(installation, 15.0, lambda: now[0])
    request_restart(installation, SLOTS[0])
    assert requests.handle({SLOTS[0]: process}) == set()
    assert process.poll() is None
    now[0] = 16.0
    requests.handle({SLOTS[0]: process})
    assert process.wait(TIMEOUT_S) < 0
    process.stdout.close()


def test_requests_of_an_earlier_supervisor_are_dropped(installation: Installation) -> None:
    """All workers have just been started."""
    request_restart(installation, SLOTS[0])
    assert RestartRequests(installation, 15.0).handle({}) == set()
    request_restart(installation, SLOTS[0])
    assert RestartRequests(installation, 15.0).handle({}) == set()
