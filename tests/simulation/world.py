"""All processes of a mesh in one thread: which one runs next, which are suspended or killed, and the time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import KafkaException

from connectors.errors import ConnectorError
from schemas.topics import group
from streams.errors import LostRecordsError, StreamError
from tests.simulation.clients import SimConsumer
from tests.simulation.coordinator import BusyError, TransactionCoordinator, kafka_exception
from tests.simulation.fault_effects import FAULT_EFFECTS, CrashError
from tests.simulation.faults import Fault, Faults
from tests.simulation.groups import GroupCoordinator, SimMember
from tests.simulation.log import Log
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.virtual_time import T, VirtualTime

#: Processes that may run nested inside one another's calls.
_NESTED_CALLS_MAX = 3
#: Delays of an offset lookup: mostly none, sometimes longer than other workers take to initialize.
_LOOKUP_DELAYS_S = (0.0, 0.0, 0.0, 0.01, 0.5, 8.0)
_TIMED_OUT = -185


class StuckError(Exception):
    """The mesh doesn't become idle."""


class FindingError(Exception):
    """Something happened that must never happen."""


class Worker(Protocol):
    """The work of a process, created at each start."""

    def start(self) -> None:
        """Join the group."""

    def run_once(self) -> int:
        """Do some work."""

    def close(self) -> None:
        """Leave the group."""

    @property
    def ready(self) -> bool:
        """Whether there is work."""

    @property
    def consumer(self) -> SimConsumer | None:
        """Its group member."""

    @property
    def store_access(self) -> StoreAccess | None:
        """Its access to a store, if it has one."""


class Process:
    """One process of a worker slot (`Host`). The world starts, runs, kills and restarts it."""

    def __init__(self, world: World, step: str, slot: int, make: Callable[[Process], Worker]) -> None:
        self.world, self.step, self.slot, self._make = world, step, slot, make
        self.worker: Worker | None = None
        self.dead = self.frozen = self.suspended = False
        self.clock_skew_s = 0.0
        self.polled_version = 0

    def __str__(self) -> str:
        return f"{self.step}.{self.slot}"

    def clock(self) -> float:
        """Return the time on this process's clock."""
        return self.world.time.now_s + self.clock_skew_s

    def is_responsive(self) -> bool:
        """Return whether its clients answer."""
        return not (self.dead or self.frozen)

    @property
    def ready(self) -> bool:
        """Whether it has work."""
        return self.worker is None or self.worker.ready

    def run_once(self) -> None:
        """Start the worker, or let it do some work."""
        if self.worker is None:
            self.worker = self._make(self)
            self.worker.start()
        else:
            self.worker.run_once()

    def request(self, call: str, send: Callable[[], T], timeout_s: float = 0.0) -> T:
        """Return the answer to a request, or the effect of the fault that is due at this call."""
        if self.dead:
            raise CrashError
        fault = self.world.faults.due(self.fault_step, call)
        if fault is None:
            return self._call_with_retries(send, timeout_s)
        self.world.log_fault(fault, self)
        answer: T = FAULT_EFFECTS[fault.kind](
            self, fault, lambda: self._call_with_retries(send, timeout_s), send, timeout_s
        )
        return answer

    @property
    def fault_step(self) -> str:
        """Its step as faults name it: a sink of any domain is `sink`."""
        return self.step.split(".")[0]

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until the condition holds; return False after the timeout."""
        end_s = self.world.time.now_s + timeout_s
        while not until():
            if self.world.time.now_s >= end_s:
                return False
            self.world.run_others(self, min(0.5, end_s - self.world.time.now_s), until)
        return True

    def let_others_run(self, seconds: float) -> None:
        """Let all other processes run. Raise CrashError if this one was killed meanwhile."""
        self.world.run_others(self, seconds)
        if self.dead:
            raise CrashError

    def fetch_size(self) -> int:
        """Return how many records the next fetch returns at most."""
        access = self.worker.store_access if self.worker is not None else None
        if access is not None and access.database.small_fetches_left:
            access.database.small_fetches_left -= 1
            return self.world.chance.choice((1, 2, 3, 5))
        return self.world.fetch_size()

    # -- effects of faults

    @property
    def group(self) -> str:
        """Its consumer group."""
        return group(self.step)

    def silence(self) -> None:
        """Stop its clients from answering: the group expels its member after the session timeout."""
        if (member := self._member) is not None:
            self.world.groups.silence(self.group, member)

    def expel(self) -> None:
        """Remove its member from the group."""
        if (member := self._member) is not None:
            self.world.groups.expel(self.group, member)

    def return_stale_records_first(self) -> None:
        """Make its next read span a rebalance."""
        if self.worker is not None and self.worker.consumer is not None:
            self.worker.consumer.stale_records_first = True

    def disconnect(self) -> None:
        """Break its connections to a store."""
        if self.worker is not None and self.worker.store_access is not None:
            self.worker.store_access.disconnect()

    @property
    def database(self) -> SimDatabase:
        """The database that it writes."""
        if self.worker is None or self.worker.store_access is None:
            raise RuntimeError(f"{self} has no store")
        return self.worker.store_access.database

    @property
    def _member(self) -> SimMember | None:
        consumer = self.worker and self.worker.consumer
        return consumer.member if consumer else None

    def _call_with_retries(self, send: Callable[[], T], timeout_s: float) -> T:
        """Send the request, again while the previous transaction is being ended, as librdkafka does by itself."""
        end_s = self.world.time.now_s + timeout_s
        while True:
            try:
                return send()
            except BusyError:
                if self.world.time.now_s >= end_s:
                    raise kafka_exception(_TIMED_OUT, retriable=True) from None
            self.let_others_run(0.1)


class World:
    """The brokers, and the processes in their worker slots."""

    def __init__(self, seed: int, partitions: int, faults: Faults) -> None:
        self.chance = random.Random(f"world {seed}")  # noqa: S311 - repeatable on purpose
        self.time, self.faults = VirtualTime(), faults
        self.log = Log(self.time, partitions)
        delays = random.Random(f"look-ups {seed}")  # noqa: S311 - repeatable on purpose
        self.log.lookup_delay_s = lambda: delays.choice(_LOOKUP_DELAYS_S)
        self.groups = GroupCoordinator(self.log)
        self.coordinator = TransactionCoordinator(self.log, self.groups)
        self.processes: list[Process] = []
        self.slots: dict[tuple[str, int], Process] = {}
        #: Faults and failures, for the reader of a history.
        self.lines: list[str] = []
        #: How often any process was run.
        self.runs = 0
        self._worker_factories: dict[str, Callable[[Process], Worker]] = {}
        self._nested_calls = 0
        self.fetch_sizes: tuple[int, ...] = (1_000,)

    def log_fault(self, fault: Fault, process: Process) -> None:
        """Add a line about an injected fault."""
        self.lines.append(f"{self.time.now_s - 1_000:9.3f} s  {process}: {fault}")

    def add_step(self, step: str, slots: int, make: Callable[[Process], Worker]) -> None:
        """Add a step with that many workers."""
        self._worker_factories[step] = make
        for slot in range(slots):
            self.start_process(step, slot)

    def start_process(self, step: str, slot: int) -> None:
        """Start a new process in a slot. A previous one, if it still runs, isn't stopped."""
        process = Process(self, step, slot, self._worker_factories[step])
        self.slots[step, slot] = process
        self.processes.append(process)

    def restart(self, step: str, slot: int) -> None:
        """Kill the process in a slot, and start a new one."""
        self.kill(self.slots[step, slot])
        self.start_process(step, slot)

    def fetch_size(self) -> int:
        """Draw how many records a fetch returns at most."""
        return self.chance.choice(self.fetch_sizes)

    def run(self, runs_max: int) -> None:
        """Run processes until none has work. Raise StuckError after too many runs."""
        end = self.runs + runs_max
        while self.advance():
            if self.runs > end:
                busy = ", ".join(str(process) for process in self.processes if process.ready)
                raise StuckError(f"not idle after {runs_max} runs: {busy}")

    def advance(self, until_s: float = float("inf")) -> bool:
        """Run one process that has work, or pass to the next event; return False if there is neither."""
        ready = [process for process in self.processes if not process.suspended and process.ready]
        if ready:
            self._run(ready[0] if len(ready) == 1 else self.chance.choice(ready))
            self.time.pass_to(self.time.now_s + 0.01)
            return True
        next_s = self.time.next_s
        if next_s is None or next_s > until_s:
            return False
        self.time.pass_to(next_s)
        return True

    def run_others(self, process: Process, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Run all processes but this one until the time is over or the condition holds."""
        end_s = self.time.now_s + seconds
        if self._nested_calls < _NESTED_CALLS_MAX:
            suspended, process.suspended = process.suspended, True
            self._nested_calls += 1
            while self.time.now_s < end_s and not until() and self.advance(end_s):
                pass
            self._nested_calls -= 1
            process.suspended = suspended
        if not until():
            self.time.pass_to(end_s)

    def kill(self, process: Process) -> None:
        """Kill a process as SIGKILL does."""
        process.dead = True
        process.silence()
        process.disconnect()
        if process in self.processes:
            self.processes.remove(process)

    def _run(self, process: Process) -> None:
        self.runs += 1
        try:
            process.run_once()
        except CrashError:
            self.kill(process)
            self._schedule_restart(process, self.chance.choice((0.2, 0.5, 1.0, 4.0, 15.0, 40.0)))
        except (StreamError, ConnectorError, KafkaException) as error:
            self._exit(process, error)

    def _exit(self, process: Process, error: Exception) -> None:
        if isinstance(error, LostRecordsError):
            raise FindingError(f"{process} lost records") from error
        if "barrier writes failed" in str(error):
            raise FindingError(f"{process}: {error}") from error
        self.lines.append(
            f"{self.time.now_s - 1_000:9.3f} s  {process} ended: {type(error).__name__} {error}"
        )
        try:
            if process.worker is not None:
                process.worker.close()
        except (CrashError, StreamError, ConnectorError, KafkaException):
            pass
        self.kill(process)
        self._schedule_restart(process, self.chance.choice((1.0, 2.0, 5.0)))

    def _schedule_restart(self, process: Process, seconds: float) -> None:
        """Restart the slot of a process, unless the slot has a newer process by now."""
        slot = (process.step, process.slot)
        if self.slots[slot] is process:
            self.time.after(0.1 if self.faults.disabled else seconds, lambda: self.start_process(*slot))
