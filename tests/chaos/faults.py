"""What is done to the mesh: each fault strikes once, is held, and is mended before the next.

How long the mesh stood still is counted from the moment that it has to go on without help: for a worker or a broker
from the strike, for the database and the network from the mending.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from schemas.topics import transactional_id
from streams.clients import Partition
from tests.chaos.cluster import DATABASE, ChaosCluster, family, signal_all
from tests.chaos.proxy import Mode
from tests.chaos.watch import SINK

POSTGRES: Final = "PostgreSQL"
REGISTRY: Final = "the schema registry"
TRANSACTIONS: Final = "__transaction_state"
END_TIMEOUT_S: Final = 20.0
#: Longer than the session's and the transaction's timeout (10 s each) of the steps between topics.
PAUSE_S: Final = (11.5, 13.0)
#: Longer than the longest timeout of a store's transaction (20 s).
PAUSE_OF_STORES_S: Final = (21.0, 22.0)
#: Longer than a broker's session with its controller (9 s), and than the timeouts of its clients (10 s).
PAUSE_OF_BROKERS_S: Final = (11.0, 13.0)
#: How long a way is late, or cut: shorter than all timeouts as often as longer than most.
LATE_S: Final = (5.0, 8.0)
CUT_S: Final = (3.0, 12.0)
#: Of the cuts of the way to the database so many are longer than all timeouts.
LONG_CUTS: Final = 0.25


def nothing() -> None:
    """What heals by itself needs no mending."""


@dataclass(frozen=True)
class InjectedFault:
    """What was struck, and how it is mended. `partitions` are those that have to go on; empty: all of them.

    `hold_s`: seconds until it is mended. With `until_on` it is mended when they went on, and not before `hold_s`.
    """

    target: str
    mend: Callable[[], None] = nothing
    partitions: Sequence[Partition] = ()
    hold_s: float = 0.0
    until_on: bool = False
    #: Counted from the strike; else from the mending.
    alone: bool = True
    detail: str = ""
    at_s: float = field(default_factory=time.monotonic)


#: Finds out first whom it strikes: what raises has done nothing.
Fault = Callable[[ChaosCluster, random.Random], InjectedFault]


def worker_kill(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """kill -9; its supervisor starts it again."""
    slot = chance.choice(place.targets)
    theirs = place.partitions(slot)
    place.worker(slot).kill()
    return InjectedFault(slot.name, partitions=theirs)


def worker_gone(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """kill -9, and nobody starts it again until another has taken its partitions over."""
    slot = chance.choice(place.targets)
    theirs, supervisor, worker = place.partitions(slot), place.supervisor(), place.worker(slot)
    supervisor.suspend()
    at_s = time.monotonic()
    signal_all([worker], signal.SIGKILL)
    return InjectedFault(slot.name, supervisor.resume, theirs, hold_s=5.0, until_on=True, at_s=at_s)


def worker_pause(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """SIGSTOP, longer than every timeout, and until another took over; then it goes on as if nothing had been."""
    slot = chance.choice(place.targets)
    theirs, worker = place.partitions(slot), place.worker(slot)
    hold_s = chance.uniform(*(PAUSE_OF_STORES_S if slot.step == SINK else PAUSE_S))
    at_s = time.monotonic()
    worker.suspend()
    return InjectedFault(slot.name, worker.resume, theirs, hold_s, until_on=True, at_s=at_s)


def worker_cut(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """One worker's way to all servers is cut, longer than what fences it and until another took over: others go on.

    By resets, or without a word. It works on with what it has, and finds out when it is let through again.
    """
    slot = chance.choice(place.targets)
    theirs, worker = place.partitions(slot), place.worker(slot)
    mode: Mode = chance.choice(["cut", "silent"])
    hold_s = chance.uniform(*(PAUSE_OF_STORES_S if slot.step == SINK else PAUSE_S))
    at_s = time.monotonic()
    for route in place.proxies.names:
        place.proxies.set(route, mode, only=[worker.pid])
    return InjectedFault(
        slot.name, place.proxies.open_all, theirs, hold_s, until_on=True, detail=mode, at_s=at_s
    )


def _broker_kill(choose: Callable[[ChaosCluster, random.Random], tuple[str, str]]) -> Fault:
    def strike(place: ChaosCluster, chance: random.Random) -> InjectedFault:
        name, why = choose(place, chance)
        at_s = time.monotonic()
        _kill(place, name)
        return InjectedFault(name, lambda: _up(place), hold_s=3.0, until_on=True, detail=why, at_s=at_s)

    return strike


def _broker_pause(choose: Callable[[ChaosCluster, random.Random], tuple[str, str]]) -> Fault:
    def strike(place: ChaosCluster, chance: random.Random) -> InjectedFault:
        name, why = choose(place, chance)
        broker, at_s = place.server(name), time.monotonic()
        broker.suspend()
        return InjectedFault(
            name, broker.resume, hold_s=chance.uniform(*PAUSE_OF_BROKERS_S), detail=why, at_s=at_s
        )

    return strike


def database_kill(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """kill -9 of the server and all its processes, as by a power cut."""
    theirs, hold_s = _of_sinks(place), chance.uniform(1.0, 4.0)
    _kill(place, POSTGRES)
    return InjectedFault(POSTGRES, lambda: _up(place), theirs, hold_s, alone=False)


def database_pause(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """SIGSTOP of all its processes, longer than every timeout of its clients."""
    theirs, hold_s = _of_sinks(place), chance.uniform(*PAUSE_OF_STORES_S)
    processes = family(place.server(POSTGRES))
    signal_all(processes, signal.SIGSTOP)
    return InjectedFault(POSTGRES, lambda: signal_all(processes, signal.SIGCONT), theirs, hold_s, alone=False)


def brokers_cut(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """The network between workers and one broker, or all, is cut: by resets, or without a word."""
    names = place.brokers if chance.random() < 0.5 else [chance.choice(place.brokers)]
    mode: Mode = chance.choice(["cut", "silent"])
    return _network(place, [place.route(name) for name in names], mode, hold_s=chance.uniform(*CUT_S))


def brokers_slow(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """Every packet between workers and brokers is late."""
    routes, delay_s = [place.route(name) for name in place.brokers], chance.uniform(0.1, 0.5)
    return _network(place, routes, "slow", hold_s=chance.uniform(*LATE_S), delay_s=delay_s)


def brokers_late(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """Nothing passes for a little longer than a commit may take, and shorter than a record: all of it arrives then."""
    routes = [place.route(name) for name in place.brokers]
    return _network(place, routes, "silent", hold_s=chance.uniform(7.3, 7.7))


def database_cut(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """The network between workers and the database is cut: by resets, or without a word."""
    mode: Mode = chance.choice(["cut", "silent"])
    hold_s = chance.uniform(*(PAUSE_OF_STORES_S if chance.random() < LONG_CUTS else CUT_S))
    return _network(place, [DATABASE], mode, hold_s)


def database_slow(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """Every packet between workers and the database is late."""
    return _network(
        place, [DATABASE], "slow", hold_s=chance.uniform(*LATE_S), delay_s=chance.uniform(0.02, 0.1)
    )


def registry_gone(place: ChaosCluster, chance: random.Random) -> InjectedFault:
    """kill -9 of the registry, and of a worker that must then start without it."""
    struck = worker_kill(place, chance)
    _kill(place, REGISTRY)
    return InjectedFault(
        f"registry, {struck.target}",
        lambda: _up(place),
        struck.partitions,
        hold_s=3.0,
        until_on=True,
        at_s=struck.at_s,
    )


def _any_broker(place: ChaosCluster, chance: random.Random) -> tuple[str, str]:
    return chance.choice(place.brokers), ""


def _leader(place: ChaosCluster, chance: random.Random) -> tuple[str, str]:
    """The leader of a partition that steps write and read in transactions."""
    topic, number = chance.choice([("notice", 0), ("person.change", 1), ("state.fan-out.persons", 1)])
    return _name(place, _leader_of(place, (topic, number))), f"leader of {topic}/{number}"


def _coordinator(place: ChaosCluster, chance: random.Random) -> tuple[str, str]:
    """The coordinator of a slot's transactions."""
    slot = chance.choice([slot for slot in place.slots if slot.step != SINK])
    name = transactional_id(slot.step, slot.number)
    topics = place.admin.list_topics(TRANSACTIONS, timeout=10).topics
    number = coordinating(name, len(topics[TRANSACTIONS].partitions))
    return _name(place, _leader_of(place, (TRANSACTIONS, number))), f"coordinator of {name}"


def _leader_of(place: ChaosCluster, partition: Partition) -> int:
    topic, number = partition
    return int(place.admin.list_topics(topic, timeout=10).topics[topic].partitions[number].leader)


def _name(place: ChaosCluster, number: int) -> str:
    return place.brokers[number - 1]


def coordinating(transactional: str, partitions: int) -> int:
    """The partition of a transactional id's coordinator, by Java's `String.hashCode` as Kafka takes it."""
    value = 0
    for letter in transactional:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    signed = value - (1 << 32) if value >> 31 else value
    return 0 if signed == -(1 << 31) else abs(signed) % partitions


def _network(
    place: ChaosCluster, routes: Sequence[str], mode: Mode, hold_s: float, delay_s: float = 0.0
) -> InjectedFault:
    theirs = _of_sinks(place) if routes == [DATABASE] else ()
    for route in routes:
        place.proxies.set(route, mode, delay_s)
    detail = f"{delay_s:.2f} s each way" if mode == "slow" else mode
    return InjectedFault(
        ", ".join(routes), place.proxies.open_all, theirs, hold_s, alone=False, detail=detail
    )


def _kill(place: ChaosCluster, name: str) -> None:
    processes = family(place.server(name))
    signal_all(processes, signal.SIGKILL)
    processes[0].wait(END_TIMEOUT_S)


def _up(place: ChaosCluster) -> None:
    place.stack.up()


def _of_sinks(place: ChaosCluster) -> list[Partition]:
    return [each for slot in place.slots if slot.step == SINK for each in place.partitions(slot)]


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "worker-kill": worker_kill,
        "worker-gone": worker_gone,
        "worker-pause": worker_pause,
        "worker-cut": worker_cut,
        "broker-kill": _broker_kill(_any_broker),
        "broker-kill-leader": _broker_kill(_leader),
        "broker-kill-coordinator": _broker_kill(_coordinator),
        "broker-pause": _broker_pause(_any_broker),
        "broker-pause-leader": _broker_pause(_leader),
        "broker-pause-coordinator": _broker_pause(_coordinator),
        "database-kill": database_kill,
        "database-pause": database_pause,
        "brokers-cut": brokers_cut,
        "brokers-slow": brokers_slow,
        "database-cut": database_cut,
        "database-slow": database_slow,
        "registry-gone": registry_gone,
    }
)


#: Made for one defect, and no kind that has to be struck: each is a case of one above, at the right moment.
SEEDED: Final[Mapping[str, Fault]] = MappingProxyType({"brokers-late": brokers_late})


def next_kind(
    kinds: Sequence[str], chance: random.Random, struck: Mapping[str, int], enough: int | None = None
) -> str | None:
    """Any of those that struck least often so far; None where each struck `enough` times."""
    least = min(struck.get(kind, 0) for kind in kinds)
    if enough is not None and least >= enough:
        return None
    return chance.choice([kind for kind in kinds if struck.get(kind, 0) == least])
