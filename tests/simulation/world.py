"""All processes of a mesh in one thread: whose turn it is, who is held up, who dies, and what time it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import KafkaException

from connectors.errors import ConnectorError
from schemas.topics import group
from streams.errors import LostRecordsError, StreamError
from tests.simulation.clients import SimConsumer
from tests.simulation.coordinator import BusyError, Coordinator, refusal
from tests.simulation.fault_effects import STRIKES, CrashError
from tests.simulation.faults import Fault, Faults
from tests.simulation.groups import Groups, SimMember
from tests.simulation.host import T
from tests.simulation.log import Log
from tests.simulation.postgres import Database, Line
from tests.simulation.virtual_time import VirtualTime

#: Processes that may be held up inside one another's calls.
_DEPTH_MAX = 3
#: How long a look-up of an offset takes: mostly nothing, now and then longer than others take to settle their affairs.
_LOOK_UP_S = (0.0, 0.0, 0.0, 0.01, 0.5, 8.0)


class StuckError(Exception):
    """The mesh doesn't become idle."""


class FoundError(Exception):
    """Something that must never be."""


class Worker(Protocol):
    """What runs in a process; made anew at each start."""

    def start(self) -> None:
        """Joins."""

    def turn(self) -> int:
        """Does some work."""

    def close(self) -> None:
        """Leaves."""

    @property
    def ready(self) -> bool:
        """Whether there is work."""

    @property
    def consumer(self) -> SimConsumer | None:
        """Its member of the group."""

    @property
    def line(self) -> Line | None:
        """Its way to a store, where it has one."""


class Process:
    """One process of a slot (`Host`): begins, turns, dies, is begun again by the world."""

    def __init__(self, world: World, step: str, slot: int, make: Callable[[Process], Worker]) -> None:
        self.world, self.step, self.slot, self._make = world, step, slot, make
        self.worker: Worker | None = None
        self.dead = self.frozen = self.held = False
        self.skew_s = 0.0

    def __str__(self) -> str:
        return f"{self.step}.{self.slot}"

    def clock(self) -> float:
        """As this process sees it."""
        return self.world.time.now_s + self.skew_s

    def heard(self) -> bool:
        """Whether its clients answer."""
        return not (self.dead or self.frozen)

    @property
    def ready(self) -> bool:
        """Whether there is anything for it to do."""
        return self.worker is None or self.worker.ready

    def turn(self) -> None:
        """Begins, or does some work."""
        if self.worker is None:
            self.worker = self._make(self)
            self.worker.start()
        else:
            self.worker.turn()

    def request(self, call: str, do: Callable[[], T], timeout_s: float = 0.0) -> T:
        """What is answered, or what a fault makes of it."""
        if self.dead:
            raise CrashError
        fault = self.world.faults.due(self.step_of_faults, call)
        if fault is None:
            return self._patiently(do, timeout_s)
        self.world.note(fault, self)
        answer: T = STRIKES[fault.kind](self, fault, lambda: self._patiently(do, timeout_s), do, timeout_s)
        return answer

    @property
    def step_of_faults(self) -> str:
        """A sink of any domain is a sink."""
        return self.step.split(".")[0]

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Lets time pass until that is so."""
        end_s = self.world.time.now_s + timeout_s
        while not until():
            if self.world.time.now_s >= end_s:
                return False
            self.world.meanwhile(self, min(0.5, end_s - self.world.time.now_s), until)
        return True

    def meanwhile(self, seconds: float) -> None:
        """All others go on."""
        self.world.meanwhile(self, seconds)
        if self.dead:
            raise CrashError

    def most(self) -> int:
        """How many records the next fetch brings."""
        line = self.worker.line if self.worker is not None else None
        if line is not None and line.database.few_reads:
            line.database.few_reads -= 1
            return self.world.chance.choice((1, 2, 3, 5))
        return self.world.most()

    # -- what faults do to it

    @property
    def group(self) -> str:
        """Its group."""
        return group(self.step)

    def silent(self) -> None:
        """Nobody hears from its clients from now on."""
        if (member := self._member) is not None:
            self.world.groups.silent(self.group, member)

    def expelled(self) -> None:
        """The group takes it for gone."""
        if (member := self._member) is not None:
            self.world.groups.expel(self.group, member)

    def stale_first(self) -> None:
        """Its next read has a rebalance in the midst."""
        if self.worker is not None and self.worker.consumer is not None:
            self.worker.consumer.stale_first = True

    def disconnected(self) -> None:
        """Its connections to a store break."""
        if self.worker is not None and self.worker.line is not None:
            self.worker.line.cut()

    @property
    def database(self) -> Database:
        """The database that it has to do with."""
        if self.worker is None or self.worker.line is None:
            raise RuntimeError(f"{self} has no store")
        return self.worker.line.database

    @property
    def _member(self) -> SimMember | None:
        consumer = self.worker and self.worker.consumer
        return consumer.member if consumer else None

    def _patiently(self, do: Callable[[], T], timeout_s: float) -> T:
        """As librdkafka asks again by itself while the transaction before is being ended."""
        end_s = self.world.time.now_s + timeout_s
        while True:
            try:
                return do()
            except BusyError:
                if self.world.time.now_s >= end_s:
                    raise refusal(_TIMED_OUT, retriable=True) from None
            self.meanwhile(0.1)


class World:
    """The brokers, and the processes with their slots."""

    def __init__(self, seed: int, partitions: int, faults: Faults) -> None:
        self.chance = random.Random(f"world {seed}")  # noqa: S311 - repeatable on purpose
        self.time, self.faults = VirtualTime(), faults
        self.log = Log(self.time, partitions)
        late = random.Random(f"look-ups {seed}")  # noqa: S311 - repeatable on purpose
        self.log.look_up_s = lambda: late.choice(_LOOK_UP_S)
        self.groups = Groups(self.log)
        self.coordinator = Coordinator(self.log, self.groups)
        self.processes: list[Process] = []
        self.slots: dict[tuple[str, int], Process] = {}
        self.told: list[str] = []
        self.turns = 0
        self._makes: dict[str, Callable[[Process], Worker]] = {}
        self._depth = 0
        self._due = 0
        self.cuts: tuple[int, ...] = (1_000,)

    def note(self, fault: Fault, process: Process) -> None:
        """For the one who reads the history."""
        self.told.append(f"{self.time.now_s - 1_000:9.3f} s  {process}: {fault}")

    def add(self, step: str, slots: int, make: Callable[[Process], Worker]) -> None:
        """A step with so many workers."""
        self._makes[step] = make
        for slot in range(slots):
            self.begin(step, slot)

    def begin(self, step: str, slot: int) -> None:
        """A new process in a slot; whatever is in there is somebody else's matter."""
        process = Process(self, step, slot, self._makes[step])
        self.slots[step, slot] = process
        self.processes.append(process)

    def most(self) -> int:
        """How many records a fetch brings."""
        return self.chance.choice(self.cuts)

    def run(self, turns_max: int) -> None:
        """Until nobody has anything to do. StuckError after too many turns."""
        end = self.turns + turns_max
        while self.step():
            if self.turns > end:
                busy = ", ".join(str(each) for each in self.processes if each.ready)
                raise StuckError(f"not idle after {turns_max} turns: {busy}")

    def step(self, until_s: float = float("inf")) -> bool:
        """One turn of somebody who has work, or time passes to when there may be some; False: there is none."""
        ready = [each for each in self.processes if not each.held and each.ready]
        if ready:
            self._turn(ready[0] if len(ready) == 1 else self.chance.choice(ready))
            self.time.pass_to(self.time.now_s + 0.01)
            return True
        next_s = self.time.next_s
        if next_s is None or next_s > until_s:
            return False
        self.time.pass_to(next_s)
        return True

    def meanwhile(self, process: Process, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """All but this one go on for so long; time passes at least to that."""
        end_s = self.time.now_s + seconds
        if self._depth < _DEPTH_MAX:
            held, process.held = process.held, True
            self._depth += 1
            while self.time.now_s < end_s and not until() and self.step(end_s):
                pass
            self._depth -= 1
            process.held = held
        if not until():
            self.time.pass_to(end_s)

    def kill(self, process: Process) -> None:
        """As kill -9 does."""
        process.dead = True
        process.silent()
        process.disconnected()
        if process in self.processes:
            self.processes.remove(process)

    def _turn(self, process: Process) -> None:
        self.turns += 1
        try:
            process.turn()
        except CrashError:
            self.kill(process)
            self._again(process, self.chance.choice((0.2, 0.5, 1.0, 4.0, 15.0, 40.0)))
        except (StreamError, ConnectorError, KafkaException) as error:
            self._ended(process, error)

    def _ended(self, process: Process, error: Exception) -> None:
        if isinstance(error, LostRecordsError):
            raise FoundError(f"{process} lost records") from error
        if "marks failed" in str(error):
            raise FoundError(f"{process}: {error}") from error
        self.told.append(f"{self.time.now_s - 1_000:9.3f} s  {process} ended: {type(error).__name__} {error}")
        try:
            if process.worker is not None:
                process.worker.close()
        except (CrashError, StreamError, ConnectorError, KafkaException):
            pass
        self.kill(process)
        self._again(process, self.chance.choice((1.0, 2.0, 5.0)))

    def _again(self, process: Process, seconds: float) -> None:
        """Its slot is begun again, where nobody else has it by now."""
        place = (process.step, process.slot)
        if self.slots[place] is process:
            self.time.after(0.1 if self.faults.over else seconds, lambda: self.begin(*place))


_TIMED_OUT = -185
