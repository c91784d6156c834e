"""The faults: each is injected once, held for a time, and healed before the next.

A stall is measured from the moment at which the mesh has to continue without help: for a worker or a broker from the
injection, for the database and the network from the healing.
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
from tests.chaos.declarations import FAN_OUT, apply_declarations
from tests.chaos.proxy import Mode
from tests.chaos.watch import SINK

POSTGRES: Final = "PostgreSQL"
REGISTRY: Final = "the schema registry"
TRANSACTIONS: Final = "__transaction_state"
KILL_TIMEOUT_S: Final = 20.0
#: Longer than the session timeout and the transaction timeout (10 s each) of the steps between topics.
WORKER_PAUSE_S: Final = (11.5, 13.0)
#: Longer than the longest timeout of a store's transaction (20 s).
STORE_PAUSE_S: Final = (21.0, 22.0)
#: Longer than a broker's session with its controller (9 s), and than the timeouts of its clients (10 s).
BROKER_PAUSE_S: Final = (11.0, 13.0)
SLOW_S: Final = (5.0, 8.0)
#: As often shorter than all timeouts as longer than most.
CUT_S: Final = (3.0, 12.0)
#: Share of the cuts of the database that are longer than all timeouts.
LONG_CUTS: Final = 0.25


def _do_nothing() -> None:
    """Heal a fault that needs no healing."""


@dataclass(frozen=True)
class InjectedFault:
    """An injected fault, and how to heal it. `partitions` are those that have to continue; empty: all.

    `hold_s` is the time in seconds from injection to healing. With `until_continued` it is healed once the partitions
    continued, and not before `hold_s`.
    """

    target: str
    heal: Callable[[], None] = _do_nothing
    partitions: Sequence[Partition] = ()
    hold_s: float = 0.0
    until_continued: bool = False
    #: Whether a stall is measured from the injection; otherwise from the healing.
    stalls_from_injection: bool = True
    detail: str = ""
    injected_s: float = field(default_factory=time.monotonic)


#: Injects a fault. It determines its target first: if it raises, nothing was injected.
Fault = Callable[[ChaosCluster, random.Random], InjectedFault]
#: Chooses a broker: its name, and why it was chosen.
_ChooseBroker = Callable[[ChaosCluster, random.Random], tuple[str, str]]


def worker_kill(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Kill a worker; its supervisor restarts it."""
    slot = rng.choice(cluster.targets)
    partitions = cluster.partitions(slot)
    cluster.worker(slot).kill()
    return InjectedFault(slot.name, partitions=partitions)


def worker_down(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Kill a worker, and prevent its restart until another worker has taken over its partitions."""
    slot = rng.choice(cluster.targets)
    partitions, supervisor, worker = cluster.partitions(slot), cluster.supervisor(), cluster.worker(slot)
    supervisor.suspend()
    injected_s = time.monotonic()
    signal_all([worker], signal.SIGKILL)
    return InjectedFault(
        slot.name, supervisor.resume, partitions, hold_s=5.0, until_continued=True, injected_s=injected_s
    )


def worker_pause(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Pause a worker for longer than every timeout and until another worker has taken over."""
    slot = rng.choice(cluster.targets)
    partitions, worker = cluster.partitions(slot), cluster.worker(slot)
    hold_s = rng.uniform(*(STORE_PAUSE_S if slot.step == SINK else WORKER_PAUSE_S))
    injected_s = time.monotonic()
    worker.suspend()
    return InjectedFault(
        slot.name, worker.resume, partitions, hold_s, until_continued=True, injected_s=injected_s
    )


def worker_cut(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Cut one worker off from all servers, by resets or silently, until it is fenced and another has taken over.

    It continues with the records it has, and learns that it was fenced when it is connected again.
    """
    slot = rng.choice(cluster.targets)
    partitions, worker = cluster.partitions(slot), cluster.worker(slot)
    mode: Mode = rng.choice(["cut", "silent"])
    hold_s = rng.uniform(*(STORE_PAUSE_S if slot.step == SINK else WORKER_PAUSE_S))
    injected_s = time.monotonic()
    for route in cluster.proxies.names:
        cluster.proxies.set_mode(route, mode, pids=[worker.pid])
    return InjectedFault(
        slot.name,
        cluster.proxies.open_all,
        partitions,
        hold_s,
        until_continued=True,
        detail=mode,
        injected_s=injected_s,
    )


def _broker_kill(choose: _ChooseBroker) -> Fault:
    def inject(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
        name, reason = choose(cluster, rng)
        injected_s = time.monotonic()
        _kill(cluster, name)
        return InjectedFault(
            name,
            lambda: _start_missing(cluster),
            hold_s=3.0,
            until_continued=True,
            detail=reason,
            injected_s=injected_s,
        )

    return inject


def _broker_pause(choose: _ChooseBroker) -> Fault:
    def inject(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
        name, reason = choose(cluster, rng)
        broker, injected_s = cluster.server(name), time.monotonic()
        broker.suspend()
        hold_s = rng.uniform(*BROKER_PAUSE_S)
        return InjectedFault(name, broker.resume, hold_s=hold_s, detail=reason, injected_s=injected_s)

    return inject


def database_kill(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Kill the database server with all its processes, like a power cut."""
    partitions, hold_s = _sink_partitions(cluster), rng.uniform(1.0, 4.0)
    _kill(cluster, POSTGRES)
    return InjectedFault(
        POSTGRES, lambda: _start_missing(cluster), partitions, hold_s, stalls_from_injection=False
    )


def database_pause(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Pause all processes of the database server for longer than every timeout of its clients."""
    partitions, hold_s = _sink_partitions(cluster), rng.uniform(*STORE_PAUSE_S)
    processes = family(cluster.server(POSTGRES))
    signal_all(processes, signal.SIGSTOP)
    return InjectedFault(
        POSTGRES,
        lambda: signal_all(processes, signal.SIGCONT),
        partitions,
        hold_s,
        stalls_from_injection=False,
    )


def brokers_cut(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Cut the network between workers and one broker, or all brokers, by resets or silently."""
    names = cluster.brokers if rng.random() < 0.5 else [rng.choice(cluster.brokers)]
    mode: Mode = rng.choice(["cut", "silent"])
    return _set_routes(cluster, [cluster.route(name) for name in names], mode, hold_s=rng.uniform(*CUT_S))


def brokers_slow(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Delay every packet between workers and brokers."""
    routes, delay_s = [cluster.route(name) for name in cluster.brokers], rng.uniform(0.1, 0.5)
    return _set_routes(cluster, routes, "slow", hold_s=rng.uniform(*SLOW_S), delay_s=delay_s)


def brokers_late(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Silence all brokers for slightly longer than a commit may take, and less than the delivery timeout of a record.

    So a commit times out, and all requests sent meanwhile arrive afterwards.
    """
    routes = [cluster.route(name) for name in cluster.brokers]
    return _set_routes(cluster, routes, "silent", hold_s=rng.uniform(7.3, 7.7))


def database_cut(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Cut the network between workers and the database, by resets or silently."""
    mode: Mode = rng.choice(["cut", "silent"])
    hold_s = rng.uniform(*(STORE_PAUSE_S if rng.random() < LONG_CUTS else CUT_S))
    return _set_routes(cluster, [DATABASE], mode, hold_s)


def database_slow(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Delay every packet between workers and the database."""
    return _set_routes(
        cluster, [DATABASE], "slow", hold_s=rng.uniform(*SLOW_S), delay_s=rng.uniform(0.02, 0.1)
    )


def registry_down(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Kill the registry, and a worker that must then start without it."""
    killed_worker = worker_kill(cluster, rng)
    _kill(cluster, REGISTRY)
    return InjectedFault(
        f"registry, {killed_worker.target}",
        lambda: _start_missing(cluster),
        killed_worker.partitions,
        hold_s=3.0,
        until_continued=True,
        injected_s=killed_worker.injected_s,
    )


def adoption(cluster: ChaosCluster, rng: random.Random) -> InjectedFault:
    """Install other declarations, kill some workers of fan-out, and submit the command to adopt them.

    The other workers end by themselves when they read it.
    """
    workers = [slot for slot in cluster.slots if slot.step == FAN_OUT]
    killed = [cluster.worker(slot) for slot in workers if rng.random() < 0.5]
    number = apply_declarations(cluster.installation)
    signal_all(killed, signal.SIGKILL)
    cluster.adoptions.put(number)
    return InjectedFault(
        "fan-out", hold_s=rng.uniform(0.5, 3.0), detail=f"declarations {number}, {len(killed)} workers killed"
    )


def _any_broker(cluster: ChaosCluster, rng: random.Random) -> tuple[str, str]:
    return rng.choice(cluster.brokers), ""


def _leader(cluster: ChaosCluster, rng: random.Random) -> tuple[str, str]:
    """Choose the leader of a partition that steps write and read in transactions."""
    topic, number = rng.choice([("notice", 0), ("person.change", 1), ("state.fan-out.persons", 1)])
    return _broker_name(cluster, _leader_id(cluster, (topic, number))), f"leader of {topic}/{number}"


def _coordinator(cluster: ChaosCluster, rng: random.Random) -> tuple[str, str]:
    """Choose the coordinator of a slot's transactions."""
    slot = rng.choice([slot for slot in cluster.slots if slot.step != SINK])
    name = transactional_id(slot.step, slot.number)
    topics = cluster.admin.list_topics(TRANSACTIONS, timeout=10).topics
    number = coordinator_partition(name, len(topics[TRANSACTIONS].partitions))
    return _broker_name(cluster, _leader_id(cluster, (TRANSACTIONS, number))), f"coordinator of {name}"


def _leader_id(cluster: ChaosCluster, partition: Partition) -> int:
    topic, number = partition
    return int(cluster.admin.list_topics(topic, timeout=10).topics[topic].partitions[number].leader)


def _broker_name(cluster: ChaosCluster, broker_id: int) -> str:
    return cluster.brokers[broker_id - 1]


def coordinator_partition(transactional: str, partitions: int) -> int:
    """Return the partition of the transaction log for a transactional ID.

    Kafka takes it from Java's `String.hashCode`.
    """
    value = 0
    for character in transactional:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    signed = value - (1 << 32) if value >> 31 else value
    return 0 if signed == -(1 << 31) else abs(signed) % partitions


def _set_routes(
    cluster: ChaosCluster, routes: Sequence[str], mode: Mode, hold_s: float, delay_s: float = 0.0
) -> InjectedFault:
    partitions = _sink_partitions(cluster) if routes == [DATABASE] else ()
    for route in routes:
        cluster.proxies.set_mode(route, mode, delay_s)
    detail = f"{delay_s:.2f} s each way" if mode == "slow" else mode
    return InjectedFault(
        ", ".join(routes),
        cluster.proxies.open_all,
        partitions,
        hold_s,
        stalls_from_injection=False,
        detail=detail,
    )


def _kill(cluster: ChaosCluster, name: str) -> None:
    processes = family(cluster.server(name))
    signal_all(processes, signal.SIGKILL)
    processes[0].wait(KILL_TIMEOUT_S)


def _start_missing(cluster: ChaosCluster) -> None:
    cluster.stack.up()


def _sink_partitions(cluster: ChaosCluster) -> list[Partition]:
    sinks = (slot for slot in cluster.slots if slot.step == SINK)
    return [partition for slot in sinks for partition in cluster.partitions(slot)]


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "worker-kill": worker_kill,
        "worker-down": worker_down,
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
        "registry-down": registry_down,
        "adoption": adoption,
    }
)

#: Faults for seeded defects. A campaign needn't inject them: each is a case of a fault above at the right moment.
SEEDED: Final[Mapping[str, Fault]] = MappingProxyType({"brokers-late": brokers_late})


def next_kind(
    kinds: Sequence[str], rng: random.Random, injected: Mapping[str, int], enough: int | None = None
) -> str | None:
    """Return a random kind of those injected least often so far; None if each was injected `enough` times."""
    least = min(injected.get(kind, 0) for kind in kinds)
    if enough is not None and least >= enough:
        return None
    return rng.choice([kind for kind in kinds if injected.get(kind, 0) == least])
